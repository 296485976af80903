"""A slide looked at in a process of its own: a reader that hangs or crashes costs one slide."""

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.isolation.leases import lend_process, return_process
from atlaspatch_core.isolation.process import ProcessDied
from atlaspatch_core.operations.slide_files.surveyed import SurveyedSlide, SurveyState, get_ready, surveyed

SECONDS = 60.0
"""How long a slide may take. Opening one and reading a corner takes a second, or some from a slow network drive."""


def survey_in_time(source: SlideSource, slides: Slides, seconds: float) -> SurveyedSlide:
    """Return what opening a slide gives; where it takes too long or ends the process, that is what it gives."""
    process = lend_process()
    try:
        process.call(get_ready)  # the time that it takes to begin is not the slide's
        return process.ask(surveyed, source, slides).result(seconds)
    except ProcessDied as death:
        return given_up(source, f"{death}, while it was looked at")
    except TimeoutError:
        process.end()
        return given_up(source, f"looking at it took longer than {seconds:g} s")
    finally:
        return_process(process)


def given_up(source: SlideSource, why: str) -> SurveyedSlide:
    """Return a slide that nobody could look at to the end."""
    remark = f"{why}, so that it was given up; see what `atlaspatch inspect` says of it alone, or copy it again"
    return SurveyedSlide(source.stem, source.path, SurveyState.REFUSED, None, (remark,))
