"""Runs that the machine stopped, and no slide: an output folder that is full, read-only or gone, slides that are away.

No slide has a verdict of it. The run says why, sensors ask for nothing while it lasts, and then ask for the same again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NoReturn

import dagster as dg

from atlaspatch_assets.lib.names import PartitionKind, ProjectNames
from atlaspatch_assets.lib.project_runs import keys_of_run
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import MachineFault, UnusableOutput
from atlaspatch_core.storage.store import Store
from atlaspatch_core.storage.writable import write_fault
from atlaspatch_core.validity.recipe import TISSUE_MASK

STOPPED_BY = "atlaspatch/stopped_by"
"""Tag of runs that were stopped, or what they found kept from being asked for: by what."""
OUTPUT, SLIDES = "output", "slides"
ANEW_TAG = {"atlaspatch/output": "anew"}
"""Tag of runs that are to fill an output folder that is empty though results were written to it."""
ATTEMPT_TAG = "atlaspatch/attempt"
"""Tag of runs that take up what was stopped: how many were stopped before."""
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
"""Pauses from the end of a stopped run to the next: each is twice as long as the one before, up to an hour."""
LATELY = timedelta(days=30)
MOST_RUNS = 20
"""Stopped runs that are taken up in one tick."""


def stop_run(context: dg.AssetExecutionContext, error: MachineFault) -> NoReturn:
    """End a run that the machine stopped. Raises dagster.Failure with the reason and the cure."""
    stopped_by = OUTPUT if isinstance(error, UnusableOutput) else SLIDES
    context.instance.add_run_tags(context.run_id, {STOPPED_BY: stopped_by})
    raise dg.Failure(str(error), allow_retries=False) from error


def output_fault(project: Project, instance: dg.DagsterInstance) -> str | None:
    """Return why no run is to be asked for, in a sentence with the cure; None where results can be written."""
    if fault := write_fault(project.output, _names(project)):
        return fault
    return _loss_of_results(project, instance)


def check_output(project: Project, context: dg.AssetExecutionContext) -> None:
    """Raise UnusableOutput where a run is not to begin: results cannot be written, or their disk is away.

    A run that is to make deleted results again has a tag that says so.
    """
    anew = ANEW_TAG.items() <= context.run.tags.items()
    fault = write_fault(project.output, _names(project)) if anew else output_fault(project, context.instance)
    if fault:
        raise UnusableOutput(fault)


def _names(project: Project) -> list[str]:
    return [geometry.name for geometry in project.geometry]


def _loss_of_results(project: Project, instance: dg.DagsterInstance) -> str | None:
    """Return that an output folder is empty to which results were written: the mount point of a disk that is away."""
    if project.output.is_dir() and any(project.output.iterdir()):
        return None
    event = instance.get_latest_materialization_event(ProjectNames.of(project).asset_key(TISSUE_MASK))
    materialization = event.asset_materialization if event else None
    path = materialization.metadata.get("path") if materialization else None
    if path is None or Path(str(path.value)).parent != Store(project.output).geojson("any").parent:
        return None
    return (
        f"{project.output} is empty, and results were written to it; mount its disk, or, where they were deleted on "
        "purpose, let 'atlaspatch materialize' make them again"
    )


def again_requests(kind: PartitionKind, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Return the requests that take up what was stopped, each once and after a pause, now that there is no fault."""
    return list(islice(_again_requests(kind, instance), MOST_RUNS))


def _again_requests(kind: PartitionKind, instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    now = datetime.now(UTC)
    failure = [dg.DagsterRunStatus.FAILURE]
    filters = dg.RunsFilter(tags={STOPPED_BY: [OUTPUT, SLIDES]}, statuses=failure, updated_after=now - LATELY)
    for record in instance.get_run_records(filters=filters, ascending=True):
        run = record.dagster_run
        attempt = int(run.tags.get(ATTEMPT_TAG, "0")) + 1
        keys = sorted(keys_of_run(kind, run, instance))
        if not keys or now.timestamp() < (record.end_time or 0) + _pause(attempt).total_seconds():
            continue
        again = f"again-{run.run_id}"
        if not instance.get_runs_count(dg.RunsFilter(tags={"dagster/run_key": kind.names.run_key(again)})):
            assets = sorted(run.asset_selection) if run.asset_selection else None
            yield kind.request(keys, again, tags={ATTEMPT_TAG: str(attempt)}, assets=assets)


def _pause(attempt: int) -> timedelta:
    return min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE)
