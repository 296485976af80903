"""What a table of labels says of the slides of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atlaspatch_core.errors import InvalidLabels
from atlaspatch_core.operations.label_tables import (
    OF_CASES,
    OF_SLIDES,
    LabelSource,
    LabelTable,
    known_column,
    label_table,
    some_names,
)
from atlaspatch_core.tables import bare_name

MOST_COLUMNS = 30
"""Columns that the page has where none was named: every one stands at every slide."""
LONGEST = 200
"""Signs of a text that the page shows."""


@dataclass(frozen=True, slots=True)
class MapLabels:
    """A table of labels, and what of it the page is to show."""

    source: LabelSource
    columns: tuple[str, ...] = ()
    """The first colours the map to begin with; none: the first of the table that name neither slides nor cases."""
    asked_by: str = "MapLabels.columns"
    """What a sentence calls the way to name columns."""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """One column of a table of labels."""

    name: str
    texts: Mapping[str, str]
    """Stem to what its row says; slides of which it says nothing are left out."""
    numbers: Mapping[str, float] | None
    """The same as numbers, where all are; those that are not finite are left out."""


@dataclass(frozen=True, slots=True)
class SlideLabels:
    """What a table says of slides."""

    table: str
    """What the table is called."""
    columns: tuple[LabelColumn, ...]
    more_columns: int
    """How many others the table has that are not shown for their number."""
    without: tuple[str, ...]
    """Slides without a row."""
    unmatched: tuple[str, ...]
    """What rows name that is no slide of the page."""

    def of_slide(self, stem: str) -> dict[str, str]:
        """Return what each column says of a slide, empty where nothing."""
        return {column.name: column.texts.get(stem, "") for column in self.columns}

    def sentence(self) -> str:
        """Return in a sentence what has no counterpart, empty where all has one."""
        sides = {f"without a row in {self.table}": self.without, f"in {self.table} alone": self.unmatched}
        clauses = [f"{len(names):,} {what} ({some_names(names)})" for what, names in sides.items() if names]
        return "; ".join(clauses)


def read_labels(choice: MapLabels, stems: Sequence[str]) -> SlideLabels:
    """Return what the table says of these slides.

    Raises InvalidLabels for a table that cannot be used, a column that it lacks, and one without a row of any slide.
    """
    table = label_table(choice.source, stems)
    names = _chosen_columns(table, choice)
    if not table.rows:
        raise InvalidLabels(
            f"{table.name}: no row of column {table.key} names a slide, rows name {some_names(table.unmatched)}, and "
            f"there are {some_names(stems) or 'no slides'}; give the column that names slides as "
            f"{choice.source.asked_by}"
        )
    shown = names[: max(MOST_COLUMNS, len(choice.columns))]
    return SlideLabels(
        table.name,
        tuple(_column(table, name) for name in shown),
        len(names) - len(shown),
        tuple(stem for stem in stems if stem not in table.rows),
        table.unmatched,
    )


def _chosen_columns(table: LabelTable, choice: MapLabels) -> list[str]:
    """Return the columns that were named, each once; else those that name neither slides nor cases."""
    if choice.columns:
        named = dict.fromkeys(choice.columns)
        return [known_column(table.name, table.frame.columns, name, choice.asked_by) for name in named]
    names = [str(column) for column in table.frame.columns if str(column) != table.key]
    return [name for name in names if bare_name(name) not in (*OF_SLIDES, *OF_CASES)]


def _column(table: LabelTable, name: str) -> LabelColumn:
    """Return a column by slide."""
    import pandas as pd

    position = list(map(str, table.frame.columns)).index(name)
    column = table.frame.iloc[:, position]
    is_stated = column.notna().tolist()
    rows = {stem: row for stem, row in table.rows.items() if is_stated[row]}
    values = column.tolist()
    texts = {stem: text for stem, row in rows.items() if (text := _text(values[row]))}
    is_numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    numbers = {stem: float(values[rows[stem]]) for stem in texts} if is_numeric else None
    return LabelColumn(name, texts, numbers)


def _text(value: Any) -> str:
    """Return what a cell says, as the page shows it."""
    text = f"{value:.10g}" if isinstance(value, float) else str(value).strip()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
