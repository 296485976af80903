"""Materialisations and verdicts, as they are recorded."""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

VERSION_TAG = "dagster/data_version"
PAGE = 1000


def data_versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return partition to the data version of its latest materialisation, in one query.

    The public way reads every event of the asset: half a minute for 100,000 partitions (``data_versions_by_pages``),
    which serves storages that do not have this query.
    """
    storage = instance.event_log_storage
    if not hasattr(storage, "get_latest_tags_by_partition"):
        return data_versions_by_pages(instance, key)
    tags = storage.get_latest_tags_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, [VERSION_TAG])
    return {partition: values[VERSION_TAG] for partition, values in tags.items() if VERSION_TAG in values}


def data_versions_by_pages(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return the same by public means."""
    versions: dict[str, str] = {}
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(key, limit=PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event and event.partition and event.tags:
                versions.setdefault(event.partition, event.tags.get(VERSION_TAG, ""))
        cursor, more = page.cursor, page.has_more
    return versions


def latest_materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]
) -> dict[str, dg.AssetMaterialization]:
    """Return partition to its latest materialisation, of those among ``partitions`` that have one; two queries.

    In public one asks for all events of these partitions, and reads whatever was recorded of them before.
    """
    if not partitions:
        return {}
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind, set(partitions))
    if not ids:
        return {}
    records_filter = dg.AssetRecordsFilter(key, storage_ids=list(ids.values()))
    events = (
        record.asset_materialization
        for record in instance.fetch_materializations(records_filter, limit=len(ids)).records
    )
    return {event.partition: event for event in events if event and event.partition}


def last_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partitions: Sequence[str] | None = None
) -> dict[str, bool | None]:
    """Return partition to whether its last verdict is a pass; None where one was announced and did not come.

    Of all partitions that have a verdict, or of ``partitions`` alone; one query. In public there are the verdicts of
    checks without partitions alone (1.13).
    """
    meaning = {AssetCheckExecutionRecordStatus.SUCCEEDED: True, AssetCheckExecutionRecordStatus.FAILED: False}
    infos = instance.event_log_storage.get_asset_check_partition_info([check], partition_keys=partitions)
    return {info.partition_key: meaning.get(info.latest_execution_status) for info in infos if info.partition_key}


def failed_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, most: int
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the latest failed verdicts, the last first, at most so many; see ``last_verdicts``."""
    failed = {AssetCheckExecutionRecordStatus.FAILED}
    for record in instance.event_log_storage.get_asset_check_execution_history(check, most, status=failed):
        if record.evaluation:
            yield record.evaluation


def last_verdict(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str
) -> dg.AssetCheckEvaluation | None:
    """Return the last verdict on one partition that was given, whatever was announced since; see ``last_verdicts``."""
    of_partition = PartitionKeyFilter(key=partition)
    evaluated = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=1, status=evaluated, partition_filter=of_partition
    )
    return records[0].evaluation if records else None
