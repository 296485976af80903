"""What a job's page lists of what it did, or would do, and the outputs of ops."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

MOST_ROWS = 500
"""Rows of one table; every event is stored twice."""
NOTHING_DONE = "Nothing was done. Set dry_run to false to do it."


NO_VALUE = dg.Out(dg.Nothing)
"""Output of an op that tells what it did in metadata: Dagster would write an empty file for any other."""


def table_metadata(rows: Sequence[Mapping[str, str | int | float]], **columns: str) -> dg.MetadataValue:
    """Return the first rows as a table; ``columns`` are names with their types: string, int or float."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    records = [dg.TableRecord({name: row[name] for name in columns}) for row in rows[:MOST_ROWS]]
    return dg.MetadataValue.table(records, schema=schema)


def check_outputs(
    selected: Collection[dg.AssetCheckKey],
    specs: Iterable[dg.AssetCheckSpec],
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[dg.Output[None]]:
    """Yield the outputs of the selected checks, which Dagster waits for though every slide has had its verdict.

    The first of them says what ``metadata`` does.
    """
    for spec in specs:
        if spec.key in selected:
            yield dg.Output(None, spec.get_python_identifier(), metadata=metadata)
            metadata = None
