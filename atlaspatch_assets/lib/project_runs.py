"""Runs of a project: which are its own, and which slides or cases each of them takes."""

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from atlaspatch_assets.lib.names import PROJECT_TAG, PartitionKind, ProjectNames

ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in ENDED]


def owns_run(names: ProjectNames, run: dg.DagsterRun) -> bool:
    """Tell whether a run is of this project.

    Tags come with its jobs. A run that was launched from the page of an asset has none, and says which assets it takes;
    of others without a tag none has a name.
    """
    tagged = run.tags.get(PROJECT_TAG)
    if tagged is None and run.asset_selection:
        return any(map(names.owns_asset, run.asset_selection))
    return (tagged or "") == names.prefix


def listed_keys(kind: PartitionKind, run: dg.DagsterRun) -> set[str]:
    """Return those that a run lists or is tagged by, and the one that stands for it; none for one about others."""
    names = kind.names
    other_jobs = {names.slides.job_name, names.cases.job_name} - {kind.job_name}
    if run.job_name != kind.job_name and (run.job_name in other_jobs or not owns_run(names, run)):
        return set()
    config: Any = run.run_config
    listed = config.get("ops", {}).get(kind.op_name, {}).get("config", {}).get(kind.plural, [])
    anchor = run.tags.get("dagster/partition")
    return {*listed, *([anchor] if anchor else []), *kind.tagged_keys(run)}


def keys_of_run(kind: PartitionKind, run: dg.DagsterRun, instance: dg.DagsterInstance) -> set[str]:
    """Return the same; of a run over neighbours, as backfills of the UI are, that has no tags yet, all of its range."""
    return listed_keys(kind, run) or _range_of(kind, run, instance)


def unfinished_runs(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Return the runs that have not ended, of all projects."""
    return instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED))


def busy_keys(
    kind: PartitionKind, instance: dg.DagsterInstance, unfinished: Iterable[dg.DagsterRun] | None = None
) -> set[str]:
    """Return what runs that have not ended take; ``unfinished`` are these, where they were asked for already."""
    runs = unfinished_runs(instance) if unfinished is None else unfinished
    return {key for run in runs for key in keys_of_run(kind, run, instance)}


def _range_of(kind: PartitionKind, run: dg.DagsterRun, instance: dg.DagsterInstance) -> set[str]:
    ends = [run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")]
    if not all(ends) or not owns_run(kind.names, run):
        return set()
    keys = list(instance.get_dynamic_partitions(str(kind.definition.name)))
    first, last = (keys.index(end) if end in keys else -1 for end in ends)
    return set(keys[first : last + 1]) if -1 < first <= last else set()
