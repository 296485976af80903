"""One number a patch: rows of a file found by the patch's place, by its number, or by their order."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.operations.label_tables import MISSING_WORDS, find_column
from atlaspatch_core.texts import parse_number

PLACES = (("x", "y"), ("coordx", "coordy"), ("x0", "y0"), ("xmin", "ymin"))
"""What the columns of a patch's top-left corner, level-0 px, are called, without capitals and signs."""
ROW = ("row", "patch", "index", "patchindex", "")
"""What a column is called that numbers the patches from 0 on; pandas writes one without a name."""
INFINITE = ("inf", "infinity")
"""What a cell says, with or without a sign, that arrays of numbers can hold, and that no colour can show."""
SHOWN = 8
"""Names that a sentence shows of many."""


class Scores(NamedTuple):
    """Numbers of a slide's patches."""

    name: str
    """Of the column that they come from."""
    values: NDArray[np.float64]
    """One a patch, shape (n,); NaN for a patch of which nothing is said."""


def scores_of_patches(
    columns: Columns, stem: str, coords: NDArray[np.int64], column: str | None, source: str
) -> Scores:
    """Return one number for each patch.

    Columns ``x`` and ``y`` (top-left corners, level-0 px) say of which patch a row is, else a column ``row``, else the
    order.

    Args:
        columns: What is said of this slide alone.
        stem: The slide.
        coords: Top-left corners of its patches, level-0 px, int64 (n, 2).
        column: The one that is shown; needed where there are several.
        source: What the file is called in errors.

    Raises:
        InvalidScores: There is no such column, it holds no numbers, or the rows are not of these patches.
    """
    about = f"{stem}: {source}"
    own = columns
    places = next((pair for names in PLACES if all(pair := [find_column(own, [name]) for name in names])), None)
    row = None if places else find_column(own, ROW)
    name = _chosen(own, column, {*(places or ()), row}, about)
    values = _numbers(own, name, about)
    if places:
        values = _by_place(np.stack([_numbers(own, str(key), about) for key in places], axis=1), values, coords, about)
    elif row is not None and row != name:
        values = _by_row(_numbers(own, row, about), values, len(coords), about)
    elif len(values) != len(coords):
        raise InvalidScores(
            f"{about} has {len(values)} rows, and the slide {len(coords)} patches; give a row for each patch in their "
            "order, or columns x and y of their top-left corners in level-0 px"
        )
    return Scores(name, values)


def _chosen(columns: Columns, column: str | None, others: set[str | None], about: str) -> str:
    """Return the column that is shown: the one that is asked for, or the only one of numbers."""
    there_are = ", ".join(list(columns)[:SHOWN]) + (", …" if len(columns) > SHOWN else "")
    if column is not None:
        if column not in columns:
            raise InvalidScores(f"{about} has no column {column!r}, there are {there_are}; give one of these")
        return column
    free = [name for name in columns if name not in others]
    if not free:
        raise InvalidScores(f"{about} has no column of scores; add one of numbers")
    numbers = [name for name in free if _are_numbers(columns[name])] if len(free) > 1 else free
    if len(numbers) != 1:
        raise InvalidScores(f"{about} has {len(numbers)} columns of numbers, there are {there_are}; name one as column")
    return numbers[0]


def _are_numbers(values: NDArray[np.generic]) -> bool:
    if values.dtype != object:
        return values.dtype.kind in "fiub"
    return all(_number(value) is not None for value in values)


def _number(value: object) -> float | None:
    """Return the number that a cell holds; NaN where it is empty, None where it is something else."""
    if isinstance(value, str):
        word = value.strip().lower()
        return float("nan") if word in MISSING_WORDS or word.lstrip("+-") in INFINITE else parse_number(value)
    return float("nan") if value is None else float(value) if isinstance(value, (int, float, np.number)) else None


def _numbers(columns: Columns, name: str, about: str) -> NDArray[np.float64]:
    values = columns[name]
    if values.dtype != object and values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
    else:
        numbers = np.array([_number_of(value, name, about) for value in values], np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number_of(value: object, name: str, about: str) -> float:
    number = _number(value)
    if number is None:
        raise InvalidScores(f"{about}, column {name}: {value!r} is no number; leave the cell empty where there is none")
    return number


def _by_place(
    xy: NDArray[np.float64], values: NDArray[np.float64], coords: NDArray[np.int64], about: str
) -> NDArray[np.float64]:
    row_of_place = {(x, y): row for row, (x, y) in enumerate(coords.tolist())}
    rows = np.array([row_of_place.get(tuple(place), -1) for place in xy.tolist()], np.int64)
    if (rows < 0).any():
        x, y = xy[int(np.argmax(rows < 0))]
        raise InvalidScores(
            f"{about}: {(rows < 0).sum()} of {len(xy)} rows lie where no patch does, such as x {x:g}, y {y:g}; give "
            "top-left corners in level-0 px, of the patches of this geometry"
        )
    return _placed(rows, values, len(coords), about)


def _by_row(rows: NDArray[np.float64], values: NDArray[np.float64], count: int, about: str) -> NDArray[np.float64]:
    outside = ~((rows >= 0) & (rows < count) & (rows == np.round(rows)))
    if outside.any():
        raise InvalidScores(
            f"{about}: {rows[outside][0]:g} is not the number of a patch; the slide has {count}, counted from 0"
        )
    return _placed(rows.astype(np.int64), values, count, about)


def _placed(rows: NDArray[np.int64], values: NDArray[np.float64], count: int, about: str) -> NDArray[np.float64]:
    if len(np.unique(rows)) < len(rows):
        patch = int(np.flatnonzero(np.bincount(rows) > 1)[0])
        raise InvalidScores(f"{about}: two rows are of patch {patch}; leave one for each")
    scores = np.full(count, np.nan)
    scores[rows] = values
    return scores
