"""Jobs, schedules, sensors and checks of a project, each kind declared in one way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob
from atlaspatch_assets.lib.batches import SECONDS_BETWEEN_TICKS
from atlaspatch_assets.lib.names import PartitionKind, ProjectNames
from atlaspatch_assets.lib.pools import cpu_tags
from atlaspatch_assets.lib.results import NO_VALUE
from atlaspatch_assets.lib.run_executor import run_executor


def op_job(
    names: ProjectNames,
    name: str,
    op_name: str,
    *,
    description: str,
    op_description: str,
    pool: str | None = None,
    op_tags: Mapping[str, str] | None = None,
    on_gpu: bool = False,
) -> Callable[[Callable[..., Any]], dg.JobDefinition]:
    """Return the decorator that makes a function the one op of a job, which runs in one locked process.

    ``on_gpu`` says that its runs take a GPU, where a launcher gives some.
    """

    def declare(function: Callable[..., Any]) -> dg.JobDefinition:
        op = dg.op(name=names.label(op_name), description=op_description, out=NO_VALUE, pool=pool, tags=op_tags)(
            function
        )

        @dg.job(
            name=names.label(name),
            tags=_run_tags(names, on_gpu=on_gpu),
            executor_def=run_executor,
            description=description,
        )
        def job() -> None:
            op()

        return job

    return declare


def asset_job(
    names: ProjectNames,
    name: str,
    selection: dg.AssetSelection,
    description: str,
    *,
    on_gpu: bool = False,
) -> AssetJob:
    """Return a job of assets or checks, whose runs are locked whatever executor a deployment has."""
    tags = _run_tags(names, on_gpu=on_gpu)
    return dg.define_asset_job(
        names.label(name), selection=selection, description=description, tags=tags, executor_def=run_executor
    )


def _run_tags(names: ProjectNames, *, on_gpu: bool) -> dict[str, str]:
    return {**names.tags, **({} if on_gpu else cpu_tags())}


def running_schedule(names: ProjectNames, name: str, job: Any, cron: str, description: str) -> dg.ScheduleDefinition:
    """Return a schedule of a job that runs from the start; the Automation page of the UI switches it off."""
    return dg.ScheduleDefinition(
        name=names.label(name),
        job=job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )


def running_sensor(
    names: ProjectNames,
    name: str,
    job_name: str | None,
    description: str,
    *,
    jobs: Sequence[AssetJob | dg.JobDefinition] = (),
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Return the decorator of a sensor that runs from the start; the Automation page of the UI switches it off."""
    return dg.sensor(
        name=names.label(name),
        job_name=job_name,
        jobs=list(jobs) or None,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )


def check_specs(
    kind: PartitionKind, name: str, keys: Iterable[dg.AssetKey], description: str
) -> list[dg.AssetCheckSpec]:
    """Return a check of several assets, with the partitions of these."""
    return [dg.AssetCheckSpec(name, asset=key, partitions_def=kind.definition, description=description) for key in keys]
