"""Which part of a cohort a slide is in: by a column, by a table of splits, or drawn by chance, patient by patient."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from atlaspatch_core.errors import InvalidLabels
from atlaspatch_core.operations.label_tables import (
    LabelSource,
    LabelTable,
    find_column,
    label_table,
    matching_name,
    read_frame,
    some_names,
)

if TYPE_CHECKING:
    import pandas as pd

Part = str | int
"""What a part of a cohort is called: ``train``, or the number of a fold."""
PARTS = ("train", "val", "test")
"""Columns of a table of splits in CLAM's layout: under each, the slides of that part."""
SPLIT_COLUMNS = ("split", "fold", "set", "subset", "partition")
"""Names of a column that says the part, without capitals, blanks and signs."""


def parts_of(
    folds: "str | Path | pd.DataFrame | Mapping[str, float] | None",
    table: LabelTable,
    case_of: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Part]:
    """Return stem to part for the slides that have a row in the table of labels.

    ``folds`` is a column of that table, a table of splits, or the share of each part, by which patients are drawn:
    the same table and seed give the same parts, whatever results are there. Raises InvalidLabels.
    """
    if isinstance(folds, Mapping):
        return _drawn_parts(folds, table, case_of, seed)
    if folds is None or (isinstance(folds, str) and folds in table.frame.columns):
        return _parts_of_column(table, folds)
    if isinstance(folds, str | Path) and not Path(folds).is_file():
        columns = ", ".join(map(str, table.frame.columns))
        raise InvalidLabels(f"folds={str(folds)!r} is neither a file nor a column of {table.name}, which has {columns}")
    return _parts_of_table(folds, table, case_of)


def _parts_of_column(table: LabelTable, column: str | None) -> dict[str, Part]:
    name = column or find_column(table.frame.columns, SPLIT_COLUMNS)
    if name is None:
        raise InvalidLabels(
            f"{table.name}: no column says the split; give one, or a table of splits, or shares, as folds="
        )
    values = table.frame[name]
    return {stem: cell_value(values.iloc[row]) for stem, row in table.rows.items() if values.notna().iloc[row]}


def cell_value(value: object) -> Part:
    """Return what a cell says: a whole number, which pandas may have as 1.0, or a word."""
    is_whole = isinstance(value, int | float | np.number) and float(value).is_integer()
    return int(float(str(value))) if is_whole else str(value).strip()


def _parts_of_table(
    source: "str | Path | pd.DataFrame", table: LabelTable, case_of: Mapping[str, Sequence[str]]
) -> dict[str, Part]:
    """Return the parts of a table of splits: CLAM's, with a column a part, or one with a row a slide."""
    name, frame = read_frame(source)
    columns = {str(column).strip().lower(): column for column in frame.columns}
    parts = [part for part in PARTS if part in columns]
    if len(parts) < 2:
        splits = label_table(LabelSource(source, case_of=case_of), table.rows.keys())
        return _parts_of_column(splits, None)
    cells = {part: frame[columns[part]].dropna().astype(str).str.strip() for part in parts}
    if all(set(values.str.lower()) <= {"true", "false", "1", "0", "1.0", "0.0", ""} for values in cells.values()):
        names = frame[frame.columns[0]].astype(str)
        cells = {
            part: names[values.index[values.str.lower().isin(["true", "1", "1.0"])]] for part, values in cells.items()
        }
    return _checked(name, {part: _stems(values, table.rows.keys(), case_of) for part, values in cells.items()})


def _stems(values: Any, names: Collection[str], case_of: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the slides that cells name by stem, file or case."""
    direct = {matching_name(value, names) for value in values}
    cases = set(values)
    return [stem for stem in names if stem in direct or not cases.isdisjoint(case_of.get(stem, ()))]


def _checked(name: str, stems_of: Mapping[str, Sequence[str]]) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part, stems in stems_of.items():
        for stem in stems:
            if stem in parts:
                raise InvalidLabels(f"{name}: {stem} is in {parts[stem]} and in {part}; leave it in one")
            parts[stem] = part
    return parts


def patients_of(table: LabelTable, case_of: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return stem to patient, for the slides with a row of which the table, or that of cases, says it."""
    column = table.patients()
    if column is not None:
        return {stem: column.iloc[row] for stem, row in table.rows.items()}
    return {stem: case_of[stem][0] for stem in table.rows if case_of.get(stem)}


def _drawn_parts(
    shares: Mapping[str, float], table: LabelTable, case_of: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Part]:
    """Return parts with about these shares of the patients; of a table that names none, each slide is one."""
    total = sum(shares.values())
    if not shares or min(shares.values()) <= 0 or total > 1 + 1e-9:
        raise InvalidLabels(f"folds={dict(shares)}: shares are above 0 and at most 1 together; they make {total:g}")
    column, keys = table.patients(), table.frame[table.key].astype(str)
    cases = [
        case_of[stem][0] if case_of.get(stem := matching_name(key, table.rows.keys()) or "") else key for key in keys
    ]
    of_rows = list(column) if column is not None else cases
    patients = sorted(set(of_rows))
    order = np.random.default_rng(seed).permutation(len(patients))
    ends = np.round(np.cumsum(list(shares.values())) * len(patients)).astype(int)
    places = np.searchsorted(ends, np.arange(len(patients)), side="right")
    names = [*shares, ""]
    part_of = {patients[place]: names[part] for place, part in zip(order, places, strict=True)}
    return {stem: part_of[of_rows[row]] for stem, row in table.rows.items() if part_of[of_rows[row]]}


def shared_patients(parts: Mapping[str, Part], patients: Mapping[str, str]) -> str:
    """Return in a clause which patients have slides in several parts, empty where none has."""
    parts_by_patient: dict[str, set[Part]] = {}
    for stem, part in parts.items():
        if stem in patients:
            parts_by_patient.setdefault(patients[stem], set()).add(part)
    shared = sorted(patient for patient, of_patient in parts_by_patient.items() if len(of_patient) > 1)
    return f"slides of {len(shared)} patients are in several splits ({some_names(shared)})" if shared else ""
