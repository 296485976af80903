"""Tables of labels that people keep: one row a slide, or a case, found by a column that names them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from atlaspatch_core.errors import AtlasPatchError, InvalidLabels, MissingExtra
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.tables import bare_name, read_columns

if TYPE_CHECKING:
    import pandas as pd

OF_SLIDES = ("stem", "slideid", "slide", "slidename", "wsi", "slidepath", "filename", "path")
OF_CASES = ("caseid", "case", "patientid", "patient")
"""Names of columns without capitals, blanks and signs, the first that a table has."""
MISSING_WORDS = ("", "na", "n/a", "nan", "null")
"""What a cell says, in whatever capitals, that has no label."""
SHOWN = 5
"""Names that a sentence shows of many."""


@dataclass(frozen=True, slots=True)
class LabelSource:
    """What a user gave as labels."""

    table: "str | Path | pd.DataFrame"
    on: str | None = None
    """Column that names slides or cases; None: the first that is called as such columns are."""
    case_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Stem to the cases that it belongs to."""
    asked_by: str = "on="
    """What a sentence calls the way to say ``on``: ``--labels-on`` on the command line."""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A table, and which of its rows is a slide's."""

    name: str
    frame: Any
    """A table of pandas, as it was read."""
    key: str
    """The column that names slides or cases."""
    rows: Mapping[str, int]
    """Stem, or case_id, to its row."""
    unmatched: tuple[str, ...]
    """What rows name that is not there."""

    def patients(self) -> Any:
        """Return the case of every row, None where the table does not say it."""
        column = find_column(self.frame.columns, OF_CASES)
        return None if column is None else self.frame[column].astype(str)


def label_table(source: LabelSource, names: Collection[str]) -> LabelTable:
    """Return a table with the rows of these slides, or of cases where ``names`` are theirs.

    A slide may be named by its file. Raises InvalidLabels for a table without a column that names slides or cases, or
    with two rows of one slide.
    """
    name, frame = read_frame(source.table)
    key = _key_column(name, frame, source)
    values = [str(value).strip() for value in frame[key]]
    stems_of = _stems_of_values(name, values, source.case_of, names)
    rows: dict[str, int] = {}
    for row, value in enumerate(values):
        for stem in stems_of.get(value, ()):
            if stem in rows:
                raise InvalidLabels(f"{name}: two rows of column {key} are of {stem}; leave one row for each")
            rows[stem] = row
    if not rows and not source.case_of and bare_name(key) in OF_CASES:
        raise InvalidLabels(
            f"{name}: {key} names cases, and no table says which slides are whose; add a column of slides, or encode "
            "with a table of cases"
        )
    return LabelTable(name, frame, key, rows, tuple(value for value in values if value not in stems_of))


def _stems_of_values(
    name: str, values: Sequence[str], case_of: Mapping[str, Sequence[str]], names: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return which slides each value names: by their stems or files, or by their cases where more values are such."""
    of_files = {value: (stem,) for value in values if (stem := matching_name(value, names))}
    if len(of_files) == len(values) or not case_of:
        return of_files
    by_case = _stems_by_case(name, case_of, names)
    of_cases = {value: by_case[value] for value in values if value in by_case}
    return of_cases if len(of_cases) > len(of_files) else of_files


def read_frame(source: "str | Path | pd.DataFrame") -> tuple[str, Any]:
    """Return what to call a table, and the table; columns of numbers as numbers, but those that name slides or cases.

    Raises InvalidLabels for a file that is no table, MissingExtra for Parquet where nothing reads it.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        named = [level for level in source.index.names if level is not None]
        return "the table of labels", source.reset_index(drop=not named)
    path = Path(source)
    if path.suffix.lower() in (".parquet", ".pq"):
        return path.name, read_parquet(path, InvalidLabels)
    head, rows = read_columns(path, InvalidLabels)
    if not rows or len(set(head)) < len(head):
        raise InvalidLabels(f"{path}: needs a row of different column names and a row for each slide")
    padded = [[*row, *[""] * (len(head) - len(row))][: len(head)] for row in rows]
    frame = pd.DataFrame(padded, columns=pd.Index(head))
    for column in frame.columns:
        if bare_name(column) not in (*OF_SLIDES, *OF_CASES):
            frame[column] = _as_numbers(frame[column])
    return path.name, frame


def _as_numbers(column: Any) -> Any:
    """Return a column of texts with empty cells, NA, NaN and null missing; as numbers where all others are."""
    import pandas as pd

    empty = column.mask(column.str.lower().isin(MISSING_WORDS))
    numbers: Any = pd.to_numeric(empty, errors="coerce")
    return numbers if bool((numbers.notna() == empty.notna()).all()) else empty


def read_parquet(path: Path, error_kind: type[AtlasPatchError]) -> Any:
    """Return a table of pandas. Raises ``error_kind`` for a file that is none, MissingExtra where nothing reads it."""
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtra(
            f"{path}: needs pyarrow, which is not installed; run: pip install 'atlaspatch[parquet]'"
        ) from error
    except (OSError, ValueError) as error:
        raise error_kind(f"{path}: cannot be read as Parquet ({error}); write it again") from error


def find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column that is called by one of these names, the first that there is; None where none is."""
    bare = {bare_name(str(column)): column for column in columns}
    return next((bare[name] for name in names if name in bare), None)


def known_column(table: str, columns: Iterable[str], column: str, asked_by: str) -> str:
    """Return the column that was asked for. Raises InvalidLabels naming those that there are."""
    there_are = list(map(str, columns))
    if column not in there_are:
        raise InvalidLabels(
            f"{table}: there is no column {column}, there are {', '.join(there_are)}; give one of these as {asked_by}"
        )
    return column


def _key_column(name: str, frame: Any, source: LabelSource) -> str:
    columns = ", ".join(map(str, frame.columns))
    if source.on is not None:
        return known_column(name, frame.columns, source.on, source.asked_by)
    key = find_column(frame.columns, (*OF_SLIDES, *OF_CASES))
    if key is None:
        raise InvalidLabels(
            f"{name}: no column is called stem, slide_id or case_id, there are {columns}; give it as {source.asked_by}"
        )
    return key


def matching_name(value: str, names: Collection[str]) -> str | None:
    """Return the name that a cell means: itself, or the stem of the file that it names."""
    if value in names:
        return value
    stem = stem_of(PurePosixPath(value.replace("\\", "/"))) if value else ""
    return stem if stem in names else None


def _stems_by_case(
    name: str, case_of: Mapping[str, Sequence[str]], names: Collection[str]
) -> dict[str, tuple[str, ...]]:
    by_case: dict[str, tuple[str, ...]] = {}
    for stem in names:
        of_stem = case_of.get(stem, ())
        if len(of_stem) > 1:
            raise InvalidLabels(
                f"{name}: {stem} belongs to the cases {some_names(of_stem)}, so that a row of a case does not tell its "
                "label; give a table with a row for each slide"
            )
        for case in of_stem:
            by_case[case] = (*by_case.get(case, ()), stem)
    return by_case


def some_names(names: Sequence[str]) -> str:
    """Return names as a sentence shows them: the first of many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
