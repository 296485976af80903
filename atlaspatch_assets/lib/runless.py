"""Events that no run made: Dagster is told of them directly, by the sensor's daemon or by us."""

from collections import defaultdict
from collections.abc import Iterable

import dagster as dg
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Table
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

from atlaspatch_assets.lib.batches import in_batches

MOST_AT_ONCE = 500
"""Slides of one statement."""

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation


def report_event(instance: dg.DagsterInstance, event: Event) -> None:
    """Tell the instance of an event; a verdict takes the place of an earlier one that no run gave."""
    make_room(instance, [event])
    instance.report_runless_asset_event(event)


def make_room(instance: dg.DagsterInstance, events: Iterable[object]) -> None:
    """Take away the runless verdicts that the verdicts among ``events`` will replace; others are left alone.

    Dagster's table has one row for a check, run and slide, and the runs of all runless verdicts have one name, so that
    the second verdict on a slide would violate the table's index (seen with Dagster 1.13). The log keeps all events.
    """
    storage = instance.event_log_storage
    verdicts = [event for event in events if isinstance(event, dg.AssetCheckEvaluation)]
    if not verdicts or not isinstance(storage, SqlEventLogStorage):
        return
    by_check: defaultdict[dg.AssetCheckKey, list[str]] = defaultdict(list)
    for verdict in verdicts:
        by_check[verdict.asset_check_key].append(str(verdict.partition))
    for check, stems in by_check.items():
        of_check = Table.delete().where(
            Table.c.asset_key == check.asset_key.to_string(),
            Table.c.check_name == check.name,
            Table.c.run_id == RUNLESS_RUN_ID,
        )
        for batch in in_batches(stems, MOST_AT_ONCE):
            with storage.index_connection() as connection:
                connection.execute(of_check.where(Table.c.partition.in_(batch)))
