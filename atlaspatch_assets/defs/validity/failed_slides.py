"""What is told of a plan: failed slides that are tried again, those nobody has mended, and those that are left out."""

from collections.abc import Collection, Iterable

import dagster as dg

from atlaspatch_assets.defs.slides.refusals import refused_versions
from atlaspatch_assets.defs.validity.backfill import BackfillPlan
from atlaspatch_assets.defs.validity.job_config import MATERIALIZE_FAILED
from atlaspatch_assets.lib.names import RETIRE_SLIDES, ProjectNames
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.find import find_slides, find_slides_if_any
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.discovery.slide_inspector import refusal_reason, version_of
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import NoSlides
from atlaspatch_core.validity.recipe import SLIDE
from atlaspatch_core.validity.states import State
from atlaspatch_core.wording import format_count


def plan_remarks(project: Project, instance: dg.DagsterInstance, plan: BackfillPlan) -> list[str]:
    """Return what is to be said of a plan because of slides that failed; nothing where none did."""
    names = ProjectNames.of(project)
    failed = {output.stem for output in plan.outputs if output.state is State.FAILED}
    refused = {output.stem for output in plan.outputs if output.state is State.FAILED and output.step == SLIDE}
    held_up = {output.stem for output in plan.held_up}
    doomed = unmended_slides(project, instance, refused)
    lines = []
    if failed:
        lines.append(f"{_count_slides(failed)} failed and will be tried again, with all that depends on it")
    if doomed:
        lines.append(
            f"{_count_slides(doomed)} of these will fail again, unless what reads them changed: "
            "they are as refused before"
        )
    if held_up:
        lines.append(
            f"{_count_slides(held_up)} left out, because what comes before failed; "
            f"the job {names.label(MATERIALIZE_FAILED)}, or 'atlaspatch backfill --failed', tries that again"
        )
    if plan.gone:
        gone = _count_slides({output.stem for output in plan.gone})
        job = names.label(RETIRE_SLIDES)
        lines.append(f"{gone} left out, because the file is gone; the job {job} takes partitions away")
    return lines


def find_gone_slides(project: Project, stems: Iterable[str]) -> set[str]:
    """Return which of these slides lie in no folder of the project; none while a folder cannot be looked into."""
    try:
        discovery = find_slides(project, seconds=SECONDS_A_LOOK)
    except NoSlides:
        return set()
    return set() if discovery.unseen else set(stems) - discovery.paths.keys()


def unmended_slides(project: Project, instance: dg.DagsterInstance, stems: Iterable[str]) -> list[str]:
    """Return which of these slides share their stem, or are the very files that were refused.

    A slide that failed in a run, rather than being refused by the sensor, is opened.
    """
    stems, refused = sorted(stems), refused_versions(ProjectNames.of(project), instance)
    if not stems:
        return []
    sources = find_slides_if_any(project, seconds=SECONDS_A_LOOK).by_stem
    return [stem for stem in stems if not _is_mended(sources.get(stem), refused(stem), project.slides)]


def _is_mended(source: SlideSource | None, refused: str | None, slides: Slides) -> bool:
    """Tell whether a slide is there and another than at the version that was ``refused``; empty: not known."""
    if source is None:
        return False
    return refused != version_of(source) if refused else not refusal_reason(source, slides)


def _count_slides(stems: Collection[str]) -> str:
    return format_count(len(stems), "slide")
