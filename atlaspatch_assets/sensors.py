"""The sensor: new slides in the project's folders become partitions, and are processed in batches."""

import time
from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.batches import batch_request, in_batches
from atlaspatch_assets.jobs import JOB_NAME
from atlaspatch_assets.partitions import MOST_KEYS_PER_CALL, SLIDES
from atlaspatch_assets.pools import limit_pool
from atlaspatch_core.discovery import Discovery, SlideSource, find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import slide_files
from atlaspatch_core.project import Project

SECONDS_AT_REST = 30.0
"""A file that changed later than this is still being copied."""

MOST_RUNS_PER_TICK = 20
"""Runs asked for at once; the slides beyond are new again at the next tick. A tick has 60 s."""

SECONDS_BETWEEN_TICKS = 30


def build_sensor(project: Project) -> dg.SensorDefinition:
    """Return the sensor of a project. It runs from the start; the Automation page of the UI switches it off."""

    @dg.sensor(
        name="new_slides",
        job_name=JOB_NAME,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds slides in the project's folders that have no partition yet, and processes them in batches.",
    )
    def new_slides(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        limit_pool(context.instance)
        try:
            found = find_slides(project)
        except AtlasPatchError as error:
            return dg.SkipReason(str(error))
        known = set(context.instance.get_dynamic_partitions(str(SLIDES.name)))
        new = [source for source in found.sources if source.stem not in known]
        at_rest = [source.stem for source in new if is_at_rest(source, time.time())]
        for clash in found.clashes:
            context.log.warning(str(clash.error))
        if not at_rest:
            return dg.SkipReason(_why_nothing(found, len(new)))
        return _requests(at_rest, project.runtime.slides_per_run)

    return new_slides


def is_at_rest(source: SlideSource, now: float) -> bool:
    """Tell whether no file of the slide changed in the last 30 s; a slide that vanishes meanwhile is not at rest."""
    try:
        return all(abs(now - file.stat().st_mtime) >= SECONDS_AT_REST for file in slide_files(source.path))
    except OSError:
        return False


def _requests(stems: Sequence[str], slides_per_run: int) -> dg.SensorResult:
    """Register and ask for as many slides as one tick can take."""
    taken = stems[: min(slides_per_run * MOST_RUNS_PER_TICK, MOST_KEYS_PER_CALL)]
    return dg.SensorResult(
        run_requests=[batch_request(batch) for batch in in_batches(taken, slides_per_run)],
        dynamic_partitions_requests=[SLIDES.build_add_request(taken)],
    )


def _why_nothing(found: Discovery, new: int) -> str:
    clashes = [str(clash.error) for clash in found.clashes]
    copied = [f"{new} slides are new but changed in the last {SECONDS_AT_REST:.0f} s"] if new else []
    return "; ".join([*copied, *clashes]) or f"all {len(found.sources)} slides are known"
