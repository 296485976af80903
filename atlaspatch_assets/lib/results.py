"""What a job's page lists of what it did, or would do."""

from collections.abc import Mapping, Sequence

import dagster as dg

MOST_ROWS = 500
"""Rows of one table; every event is stored twice."""
NOTHING_DONE = "Nothing was done. Set dry_run to false to do it."


NO_VALUE = dg.Out(dg.Nothing)
"""Output of an op that tells what it did in metadata: Dagster would write an empty file for any other."""


def table(rows: Sequence[Mapping[str, str | int | float]], **columns: str) -> dg.MetadataValue:
    """Return the first rows as a table; ``columns`` are names with their types: string, int or float."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    records = [dg.TableRecord({name: row[name] for name in columns}) for row in rows[:MOST_ROWS]]
    return dg.MetadataValue.table(records, schema=schema)
