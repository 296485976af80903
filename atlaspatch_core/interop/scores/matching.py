"""One number a patch: rows of a file found by the patch's place, by its number, or by their order."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.cells import are_numbers, numbers_of
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.interop.scores.keys import find_keys, free_columns
from atlaspatch_core.wording import format_count

UNNAMED = "without a name"
"""What a column is called that has no name, as pandas writes its index."""
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
    name = _chosen(columns, column, about)
    values = _numbers(columns, name, about)
    if not np.isfinite(values).any():
        raise InvalidScores(
            f"{about}, column {name}: none of {len(values):,} rows has a number, so that there is nothing to colour; "
            "give scores of this slide, or name another column"
        )
    keys = find_keys(columns, name, about)
    _check_length(columns, name, keys, len(coords), about)
    return Scores(name, _placed(_rows(columns, keys, coords, about), values, len(coords), about))


def _chosen(columns: Columns, column: str | None, about: str) -> str:
    """Return the column that is shown: the one that is asked for, or the only one of numbers."""
    there_are = ", ".join(list(columns)[:SHOWN]) + (", …" if len(columns) > SHOWN else "")
    if column is not None:
        if column not in columns:
            raise InvalidScores(f"{about} has no column {column!r}, there are {there_are}; give one of these")
        return column
    free = free_columns(columns)
    if not free:
        raise InvalidScores(f"{about} has no column of scores; add one of numbers")
    numbers = [name for name in free if are_numbers(columns[name])] if len(free) > 1 else free
    if len(numbers) != 1:
        raise InvalidScores(f"{about} has {len(numbers)} columns of numbers, there are {there_are}; name one as column")
    return numbers[0]


def _numbers(columns: Columns, name: str, about: str) -> NDArray[np.float64]:
    return numbers_of(columns[name], f"{about}, column {name or UNNAMED}")


def _check_length(columns: Columns, name: str, keys: tuple[str, ...], count: int, about: str) -> None:
    """Raise InvalidScores unless there is a score for each row of the keys, or without keys for each patch."""
    rows = format_count(len(columns[name]), "row")
    if not keys and len(columns[name]) != count:
        raise InvalidScores(
            f"{about}, column {name} has {rows}, and the slide {count} patches; give a row for each patch in their "
            "order, or columns x and y of their top-left corners in level-0 px"
        )
    if other := next((key for key in keys if len(columns[key]) != len(columns[name])), None):
        raise InvalidScores(
            f"{about}, column {name} has {rows}, and {other} has {len(columns[other])}; give a number for each of "
            "these, or name another column"
        )


def _rows(columns: Columns, keys: tuple[str, ...], coords: NDArray[np.int64], about: str) -> NDArray[np.int64]:
    """Return of which patch each row is."""
    numbers = [_numbers(columns, key, about) for key in keys]
    match numbers:
        case [x, y]:
            return _rows_of_places(np.stack([x, y], axis=1), coords, about)
        case [row]:
            return _rows_of_numbers(row, len(coords), f"{about}, column {keys[0] or UNNAMED}")
        case _:
            return np.arange(len(coords))


def _rows_of_places(xy: NDArray[np.float64], coords: NDArray[np.int64], about: str) -> NDArray[np.int64]:
    row_of_place = {(x, y): row for row, (x, y) in enumerate(coords.tolist())}
    rows = np.array([row_of_place.get(tuple(place), -1) for place in xy.tolist()], np.int64)
    if (rows < 0).any():
        x, y = xy[int(np.argmax(rows < 0))]
        raise InvalidScores(
            f"{about}: {(rows < 0).sum()} of {len(xy)} rows lie where no patch does, such as x {x:g}, y {y:g}; give "
            "top-left corners in level-0 px, of the patches of this geometry"
        )
    return rows


def _rows_of_numbers(rows: NDArray[np.float64], count: int, about: str) -> NDArray[np.int64]:
    outside = ~((rows >= 0) & (rows < count) & (rows == np.round(rows)))
    if outside.any():
        raise InvalidScores(
            f"{about}: {rows[outside][0]:g} is not the number of a patch; the slide has {count}, counted from 0; "
            "number them so, or, where rows are in order, leave the index out (index=False, reset_index(drop=True))"
        )
    return rows.astype(np.int64)


def _placed(rows: NDArray[np.int64], values: NDArray[np.float64], count: int, about: str) -> NDArray[np.float64]:
    if len(np.unique(rows)) < len(rows):
        patch = int(np.flatnonzero(np.bincount(rows) > 1)[0])
        raise InvalidScores(f"{about}: two rows are of patch {patch}; leave one for each")
    scores = np.full(count, np.nan)
    scores[rows] = values
    return scores
