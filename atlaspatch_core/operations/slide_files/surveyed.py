"""What became of one slide that was opened to see how it is."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError, UnknownScale
from atlaspatch_core.operations.slide_files.opening import read_corner, sentence
from atlaspatch_core.slides.slide import SlideInfo


class SurveyState(StrEnum):
    """How a slide is, the worst first."""

    REFUSED = "refused"
    WARNED = "warned"
    OTHER_SCALE = "other scale"
    NO_SCALE = "no scale"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class SurveyedSlide:
    """What became of one slide."""

    stem: str
    path: Path
    state: SurveyState
    info: SlideInfo | None = None
    """None where it is refused, or has no scale."""
    remarks: tuple[str, ...] = ()
    """What is odd about it: sentences."""


def get_ready() -> None:
    """Do nothing: a process that is asked for it has imported what looking at a slide needs."""


def surveyed(source: SlideSource, slides: Slides) -> SurveyedSlide:
    """Return what opening a slide, and reading a little of it, gives."""
    try:
        with open_source(source, slides) as slide:
            read_corner(slide)
    except AtlasPatchError as error:
        state = SurveyState.NO_SCALE if isinstance(error, UnknownScale) else SurveyState.REFUSED
        return SurveyedSlide(source.stem, source.path, state, None, (sentence(source.stem, error),))
    except Exception as error:  # a slide that breaks a library in a way nobody foresaw stops no other
        remark = f"its reader failed: {error!r}; report it, with the file if you may"
        return SurveyedSlide(source.stem, source.path, SurveyState.REFUSED, None, (remark,))
    info = slide.info
    warnings = (*source.notes, *info.warnings())
    state = SurveyState.WARNED if warnings else SurveyState.FINE
    return SurveyedSlide(source.stem, source.path, state, info, warnings)
