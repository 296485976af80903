"""Which slides are bags: those with usable features, a label and the part that is asked for; and why others are not."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.api.embedding_tables import ResultsWarning, warn_left_out
from atlaspatch_core.api.folder_results import Results
from atlaspatch_core.api.splits import Part, cell_value, parts_of, patients_of, shared_patients
from atlaspatch_core.api.stored_outputs import StoredOutput
from atlaspatch_core.errors import InvalidLabels
from atlaspatch_core.operations.label_tables import LabelSource, LabelTable, find_column, label_table
from atlaspatch_core.validity.outcome import OutputKey

if TYPE_CHECKING:
    import pandas as pd

LABEL_COLUMNS = ("label", "class", "target")
"""Names of the column with the class, the first that a table has."""


@dataclass(frozen=True, slots=True)
class BagFiles:
    """Where a bag is read from."""

    stem: str
    label: int
    features: tuple[StoredOutput, ...]
    """One an encoder."""
    coords: StoredOutput


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """What a user said of labels and parts."""

    source: LabelSource
    column: str | None
    classes: Sequence[Any] | None
    split: Part | Collection[Part] | None
    folds: "str | Path | pd.DataFrame | Mapping[str, float] | None"
    seed: int


@dataclass(frozen=True, slots=True)
class BagSelection:
    """The slides that are bags, and the others."""

    bags: tuple[BagFiles, ...]
    classes: tuple[Any, ...]
    left_out: Mapping[str, str]
    """Stem, or what the table calls the slide, to the reason."""


def select_bags(
    folder: Results, steps: Sequence[OutputKey], choice: LabelChoice, *, include_stale: bool
) -> BagSelection:
    """Return the bags, and warn once of slides that are left out. Raises InvalidLabels where no slide is left."""
    files, refused = _files(folder, steps, include_stale=include_stale)
    stems, case_of = sorted({*files, *refused}), folder.verdicts.case_of
    table = label_table(choice.source, stems)
    column = _label_column(table, choice.column)
    classes = tuple(choice.classes) if choice.classes is not None else _classes(table, column)
    labels = {stem: classes.index(value) for stem, value in _values(table, column).items() if value in classes}
    groups: dict[str, dict[str, str]] = {
        "not usable": {},
        f"without a row in {table.name}": dict.fromkeys((s for s in stems if s not in table.rows), "has no row"),
        f"without one of the classes in column {column}": {
            stem: f"has no class in column {column}" for stem in stems if stem in table.rows and stem not in labels
        },
        f"in {table.name} alone": dict.fromkeys(table.unmatched, f"nothing of it lies in {folder.output}"),
    }
    chosen = [stem for stem in stems if stem in labels]
    if choice.split is not None or choice.folds is not None:
        parts = _parts(table, choice, case_of)
        groups["in no split"] = {stem: "is in no split" for stem in chosen if stem not in parts}
        chosen = _of_split(chosen, parts, choice.split)
    groups["not usable"] = {stem: refused[stem] for stem in chosen if stem in refused}
    names = {kind: list(of_kind) for kind, of_kind in groups.items()}
    warn_left_out(names | {"not usable": [f"{stem}: {why}" for stem, why in groups["not usable"].items()]})
    bags = [BagFiles(stem, labels[stem], *files[stem]) for stem in chosen if stem in files]
    if not bags:
        reasons = "; ".join(f"{len(of_kind)} {kind}" for kind, of_kind in groups.items() if of_kind)
        others = len(set(labels) - set(chosen))
        raise InvalidLabels(f"{folder.output}: no slide of it can be a bag: {reasons}; {others} in other splits")
    return BagSelection(tuple(bags), classes, {stem: why for of in groups.values() for stem, why in of.items()})


def _files(
    folder: Results, steps: Sequence[OutputKey], *, include_stale: bool
) -> tuple[dict[str, tuple[tuple[StoredOutput, ...], StoredOutput]], dict[str, str]]:
    """Return the features and coords of the slides that have all, and why others have not."""
    if len({step.geometry for step in steps}) > 1:
        raise InvalidLabels(f"{folder.output}: {', '.join(map(str, steps))} are of several geometries; give one")
    coords = folder.stored[OutputKey("patch_coords", None, steps[0].geometry)]
    refused: dict[str, str] = {}
    of_steps = []
    for step in steps:
        usable, reasons = folder.usable_outputs(step, include_stale=include_stale)
        of_steps.append(usable)
        refused = reasons | refused
    complete = [stem for stem in of_steps[0] if stem not in refused]
    refused |= {stem: "has no patches" for stem in complete if of_steps[0][stem].rows == 0}
    files = {
        stem: (tuple(usable[stem] for usable in of_steps), coords[stem]) for stem in complete if stem not in refused
    }
    return files, refused


def _label_column(table: LabelTable, column: str | None) -> str:
    columns = ", ".join(map(str, table.frame.columns))
    name = column or find_column(table.frame.columns, LABEL_COLUMNS)
    if name is None or name not in table.frame.columns:
        raise InvalidLabels(
            f"{table.name}: there is no column {name or 'label'}, there are {columns}; give one as label="
        )
    return name


def _classes(table: LabelTable, column: str) -> tuple[Any, ...]:
    """Return the classes of all rows, sorted. Raises InvalidLabels for numbers that are no classes."""
    values = {cell_value(value) for value in table.frame[column].dropna()}
    fractions = [value for value in table.frame[column].dropna() if isinstance(value, float) and not value.is_integer()]
    if fractions:
        raise InvalidLabels(f"{table.name}: column {column} has {fractions[0]}; classes are words or whole numbers")
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))


def _values(table: LabelTable, column: str) -> dict[str, Part]:
    """Return stem to what its row says, but for empty cells."""
    cells = table.frame[column]
    filled = cells.notna()
    return {stem: cell_value(cells.iloc[row]) for stem, row in table.rows.items() if filled.iloc[row]}


def _parts(table: LabelTable, choice: LabelChoice, case_of: Mapping[str, Sequence[str]]) -> dict[str, Part]:
    """Return stem to part, and warn where patients are not kept together."""
    parts, patients = parts_of(choice.folds, table, case_of, choice.seed), patients_of(table, case_of)
    clause = shared_patients(parts, patients)
    if isinstance(choice.folds, Mapping) and not patients:
        clause = f"no column of {table.name} names patients, so that their slides may be in several splits"
    if clause:
        warnings.warn(clause, ResultsWarning, stacklevel=4)
    return parts


def _of_split(stems: Sequence[str], parts: Mapping[str, Part], split: Part | Collection[Part] | None) -> list[str]:
    """Return the slides of a part, or of several; of all for None. Raises InvalidLabels for one that is not there."""
    if split is None:
        return [stem for stem in stems if stem in parts]
    names = {str(split)} if isinstance(split, str | int) else {str(part) for part in split}
    there_are = {str(part) for part in parts.values()}
    if unknown := names - there_are:
        raise InvalidLabels(f"there is no split {', '.join(sorted(unknown))}; there is {', '.join(sorted(there_are))}")
    return [stem for stem in stems if stem in parts and str(parts[stem]) in names]
