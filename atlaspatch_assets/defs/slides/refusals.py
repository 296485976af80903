"""Slides that cannot be used: the failed check that says so, and which slides have one at which version."""

from collections.abc import Callable

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED
from atlaspatch_core.validity.recipe import SLIDE

SLIDE_KEY = asset_key(SLIDE)
CHECK_KEY = dg.AssetCheckKey(SLIDE_KEY, PROCESSED)


def refusal(stem: str, why: str, version: str = "") -> dg.AssetCheckEvaluation:
    """Return the failed check of a slide that cannot be used, with the reason and the version of its files."""
    return dg.AssetCheckEvaluation(
        asset_key=SLIDE_KEY,
        check_name=PROCESSED,
        passed=False,
        partition=stem,
        metadata={"reason": why, **({"version": version} if version else {})},
    )


def refusals(instance: dg.DagsterInstance) -> Callable[[str], str | None]:
    """Return what tells at which version of its files a slide was refused, None for one that was not."""
    failed: set[str] | None = None

    def version(stem: str) -> str | None:
        nonlocal failed
        failed = failed_slides(instance) if failed is None else failed
        return _refused_version(instance, stem) if stem in failed else None

    return version


def failed_slides(instance: dg.DagsterInstance) -> set[str]:
    """Return the slides whose last verdict on ``slide`` is a failed one; one query."""
    verdicts = instance.event_log_storage.get_asset_check_partition_info([CHECK_KEY])
    failed = AssetCheckExecutionRecordStatus.FAILED
    return {it.partition_key for it in verdicts if it.partition_key and it.latest_execution_status is failed}


def _refused_version(instance: dg.DagsterInstance, stem: str) -> str:
    records = instance.event_log_storage.get_asset_check_execution_history(
        CHECK_KEY, limit=1, partition_filter=PartitionKeyFilter(key=stem)
    )
    for record in records:
        if record.evaluation and "version" in record.evaluation.metadata:
            return str(record.evaluation.metadata["version"].value)
    return ""
