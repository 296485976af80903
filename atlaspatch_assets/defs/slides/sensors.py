"""The sensor: slides that come or change in the project's folders are processed in batches, the others are reported."""

import time

import dagster as dg

from atlaspatch_assets.dagster_internals import VerdictRecorder, record_refusals
from atlaspatch_assets.defs.slides.arrival import MOST_RUNS_PER_TICK as MOST_RUNS_PER_TICK
from atlaspatch_assets.defs.slides.arrival import (
    describe_tick,
    ready_versions,
    refusal_reasons,
    refusal_verdicts,
    scan_project,
    sensor_result,
)
from atlaspatch_assets.defs.slides.requests import request_runs
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.pools import SLIDE_IO, limit_pool, pool_of
from atlaspatch_assets.lib.stopped_runs import again_requests, output_fault
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery import stability
from atlaspatch_core.discovery.arrival import ArrivalCursor
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError

SECONDS_AT_REST = stability.SECONDS_UNCHANGED
"""A file that changed later than this is still being copied."""

DESCRIPTION = """\
Looks through the project's folders. New and changed slides that are at rest and open are processed in batches.
One that cannot be used fails its check `processed` on `slide`, with the reason, until its file changes.
One whose file is gone keeps its outputs and gets an observation `removed`; the job `retire_slides` takes its partition
away.
"""


def build_sensor(project: Project) -> dg.SensorDefinition:
    """Return the sensor of a project. It runs from the start; the Automation page of the UI switches it off."""
    names = ProjectNames.of(project)

    @running_sensor(names, "new_slides", names.slides.job_name, DESCRIPTION)
    def new_slides(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        limit_pool(context.instance, pool_of(project.runtime), SLIDE_IO)
        if fault := output_fault(project, context.instance):
            return dg.SkipReason(fault)
        try:
            discovery = find_slides(project, seconds=SECONDS_A_LOOK)
        except AtlasPatchError as error:
            return dg.SkipReason(str(error))
        tick = scan_project(project, context.instance, discovery, ArrivalCursor.read(context.cursor), SECONDS_AT_REST)
        size = project.runtime.slides_per_run
        runs = request_runs(
            names.slides, context.instance, ready_versions(tick), size, time.time(), discovery.cohort_by_stem
        )
        runs.requests += again_requests(names.slides, context.instance)
        context.log.info(describe_tick(tick, runs))
        VerdictRecorder(context.instance, names.tags).record(refusal_verdicts(tick))
        record_refusals(context.instance, refusal_reasons(tick), names.tags)
        return sensor_result(tick, runs)

    return new_slides


def is_stable(source: SlideSource, now: float) -> bool:
    """Tell whether no file of the slide changed in the last 30 s; a slide that vanishes meanwhile is not at rest."""
    try:
        return stability.is_stable(stability.last_change(source.path), now, SECONDS_AT_REST)
    except OSError:
        return False
