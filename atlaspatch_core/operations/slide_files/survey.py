"""All slides of a folder, opened: which are refused, warned of, or of another scale than most."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.isolation.leases import end_processes
from atlaspatch_core.operations.slide_files.opening import AS_THEY_ARE, sentence
from atlaspatch_core.operations.slide_files.surveyed import SurveyedSlide, SurveyState
from atlaspatch_core.operations.slide_files.timed_survey import SECONDS, survey_in_time
from atlaspatch_core.slides.file_scale import ODD
from atlaspatch_core.slides.stated_scales import factor_between

PROCESSES = 4
"""That open slides at once: most of it is waiting for the storage."""


FAILED = (SurveyState.REFUSED, SurveyState.NO_SCALE)
"""States in which nothing can be made of a slide."""


@dataclass(frozen=True, slots=True)
class SlideSurvey:
    """All slides of a folder."""

    slides: tuple[SurveyedSlide, ...]
    """The odd ones first, each kind by name."""
    majority_mpp: float | None
    """µm per px that more than half of those with a scale have, within 25 %; None where no scale has so many."""
    pictures_left_out: str = ""
    """One sentence about pictures beside slides, or an empty text."""

    @property
    def counts(self) -> dict[SurveyState, int]:
        """How many slides are in each state."""
        states = Counter(slide.state for slide in self.slides)
        return {state: states[state] for state in SurveyState}

    @property
    def is_usable(self) -> bool:
        """Tell whether something can be made of every slide."""
        return not any(slide.state in FAILED for slide in self.slides)


def survey_slides(discovery: Discovery, slides: Slides = AS_THEY_ARE, seconds: float = SECONDS) -> SlideSurvey:
    """Open every slide that was found, read a corner of its coarsest level, and hold it against the others.

    Args:
        discovery: Slides, files that share a stem, and what could not be looked at; the latter two count as refused.
        slides: How slides are opened.
        seconds: How long a slide may take; one that takes longer is refused.

    Returns:
        A state and remarks for each, the odd ones first, and the scale that most have; a refusal is no exception.

    Example:
        >>> survey = survey_slides(find_slides(recipe.project))
        >>> [(slide.stem, str(slide.state)) for slide in survey.slides], survey.majority_mpp
        ([('CMU-1-Small-Region', 'fine')], 0.499)
    """
    clashes = [
        SurveyedSlide(clash.stem, clash.paths[0], SurveyState.REFUSED, None, (sentence(clash.stem, clash.error),))
        for clash in discovery.clashes
    ]
    left_out = [
        SurveyedSlide(one.path.name, one.path, SurveyState.REFUSED, None, (one.why,)) for one in discovery.left_out
    ]
    count = max(1, min(PROCESSES, len(discovery.sources)))
    with ThreadPoolExecutor(count) as threads:
        try:
            opened = list(threads.map(lambda source: survey_in_time(source, slides, seconds), discovery.sources))
        except BaseException:  # raised again, Ctrl-C above all
            end_processes()  # or the threads would wait for them
            raise
    majority = majority_mpp([slide.info.mpp for slide in opened if slide.info])
    every = [*clashes, *left_out, *(held_against(slide, majority) for slide in opened)]
    order = list(SurveyState)
    slides_by_state = tuple(sorted(every, key=lambda slide: (order.index(slide.state), slide.stem)))
    return SlideSurvey(slides_by_state, majority, discovery.pictures_left_out)


def majority_mpp(mpps: Sequence[float]) -> float | None:
    """Return the µm per px that more than half of the slides have, within a quarter; None where none has so many."""
    alike = Counter({mpp: sum(factor_between(mpp, other) <= ODD for other in mpps) for mpp in set(mpps)})
    most = max(alike.values(), default=0)
    if 2 * most <= len(mpps):
        return None
    times = Counter(mpps)
    return max((mpp for mpp, count in alike.items() if count == most), key=lambda mpp: (times[mpp], mpp))


def held_against(slide: SurveyedSlide, majority: float | None) -> SurveyedSlide:
    """Return a slide with a remark where its scale is another than that of most."""
    if slide.info is None or majority is None or factor_between(slide.info.mpp, majority) <= ODD:
        return slide
    remark = f"{slide.info.mpp:.4g} µm/px, and most slides have {majority:.4g}"
    state = slide.state if slide.state is SurveyState.WARNED else SurveyState.OTHER_SCALE
    return replace(slide, state=state, remarks=(*slide.remarks, remark))
