"""Which rows of a table are of which slide."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.operations.label_tables import OF_SLIDES, find_column, some_names


def names_of(stems: Iterable[str]) -> SlideNames:
    """Return what finds a slide among all of a folder by a cell, or by the name of a file."""
    return SlideNames({stem: Path(f"{stem}.svs") for stem in stems})


@final
class SlideRows:
    """The rows of a table by slide, found once for all of them."""

    def __init__(self, columns: Columns, stems: Collection[str], source: str) -> None:
        """``stems``: all slides that there are, so that no row is taken for one of a slide of a similar name."""
        self._columns, self._source = columns, source
        self._key = find_column(columns, OF_SLIDES)
        self._rows: Mapping[str, NDArray[np.int64]] = {} if self._key is None else _grouped(columns, self._key, source)
        self._names = _names_by_slide(self._rows, frozenset(stems))

    @property
    def are_named(self) -> bool:
        """Whether a column says of which slide a row is; else all rows are of any slide that is asked for."""
        return self._key is not None

    @property
    def stems(self) -> frozenset[str]:
        """The slides that rows are named by."""
        return frozenset(self._names)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of rows that are of no slide."""
        of_slides = {name for names in self._names.values() for name in names}
        return tuple(name for name in self._rows if name not in of_slides)

    def of(self, stem: str) -> Columns:
        """Return the rows of a slide, without the column that names it.

        Raises InvalidScores where none is, or where they are named in several ways, which may mean several slides.
        """
        if self._key is None:
            return self._columns
        names = self._names.get(stem, ())
        if len(names) != 1:
            seen = some_names(names or [*self._rows]) or "nothing"
            cure = "name them alike" if names else "name a row by the slide's stem"
            raise InvalidScores(f"{stem}: {self._source}, column {self._key}, names {seen}; {cure}")
        rows = self._rows[names[0]]
        return {name: values[rows] for name, values in self._columns.items() if name != self._key}


def _grouped(columns: Columns, key: str, source: str) -> dict[str, NDArray[np.int64]]:
    """Return what rows are named by, and the rows of each name."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(columns[key].tolist()):
        rows.setdefault(str(value).strip(), []).append(row)
    for name, values in columns.items():
        _check_length(values, len(columns[key]), f"{source}: column {name}", key)
    return {name: np.array(of_name, np.int64) for name, of_name in rows.items()}


def _check_length(values: NDArray[Any], count: int, about: str, key: str) -> None:
    if len(values) != count:
        raise InvalidScores(f"{about} has {len(values):,} rows, and {key} has {count:,}; give as many of both")


def _names_by_slide(names: Collection[str], stems: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return what the rows of each slide are named by: its very stem, or else all that means it."""
    slide_names, names_by_slide = names_of(stems), dict[str, list[str]]()
    for name in names:
        if stem := name if name in stems else slide_names.stem(name):
            names_by_slide.setdefault(stem, []).append(name)
    return {stem: (stem,) if stem in of_slide else (*of_slide,) for stem, of_slide in names_by_slide.items()}
