"""Slides or cases that a run leaves as they are: what was recorded of them last is told once more, with the reason.

A run announces its slides. One that it ends without would be shown as failed where the run fails, and its checks as
never finished, though nothing is wrong with what is stored.
"""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from atlaspatch_assets.dagster_internals import last_verdict, last_verdicts
from atlaspatch_assets.lib.events import Event
from atlaspatch_assets.lib.failures import failure_observation
from atlaspatch_assets.lib.names import PROCESSED, RETIRE_SLIDES, ProjectNames
from atlaspatch_core.validity.outcome import OutputKey, Status


def gone_events(
    names: ProjectNames, context: dg.AssetExecutionContext, gone: Mapping[str, str], steps: Iterable[OutputKey]
) -> Iterator[Event]:
    """Yield why slides whose file is gone, stem to reason, are skipped, and again what was recorded of them last."""
    cure = f"Put the file back, or launch the job {names.label(RETIRE_SLIDES)}; what is stored stays."
    for stem, why in gone.items():
        context.log.warning("%s is skipped: %s", stem, why)
    for step in steps:
        for stem, why in gone.items():
            yield from untouched_events(context, names.asset_key(step), stem, why)
            run_id = context.run.run_id
            yield failure_observation(names, step, stem, why, cure=cure, status=Status.SKIPPED, run_id=run_id)


def untouched_events(context: dg.AssetExecutionContext, key: dg.AssetKey, stem: str, why: str) -> Iterator[Event]:
    """Yield again what was recorded last of an asset of a slide or case, with the versions that it had."""
    latest = _last_materialization(context.instance, key, stem)
    if latest:
        yield _told_again(latest, why)
    yield from _verdicts(context, key, stem, has_output=latest is not None)


def _last_materialization(instance: dg.DagsterInstance, key: dg.AssetKey, stem: str) -> dg.AssetMaterialization | None:
    records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[stem])
    records = instance.fetch_materializations(records_filter, limit=1).records
    return records[0].asset_materialization if records else None


def _told_again(latest: dg.AssetMaterialization, why: str) -> dg.AssetMaterialization:
    metadata = {**latest.metadata, "status": Status.SKIPPED.value, "why": why}
    return dg.AssetMaterialization(latest.asset_key, partition=latest.partition, metadata=metadata, tags=latest.tags)


def _verdicts(
    context: dg.AssetExecutionContext, key: dg.AssetKey, stem: str, *, has_output: bool
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the announced verdicts as they were before; an output that is there and had none was well."""
    for check in sorted(check for check in context.selected_asset_check_keys if check.asset_key == key):
        if last_verdicts(context.instance, check, [stem]).get(stem, True) is not None:
            continue
        before = last_verdict(context.instance, check, stem)
        if before:
            yield before
        elif has_output and check.name == PROCESSED:
            yield dg.AssetCheckEvaluation(asset_key=key, check_name=PROCESSED, passed=True, partition=stem)
