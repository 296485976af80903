"""What the values of a mask image are called: tables that lie beside it, and the values that names stand for."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import UnusableMask
from atlaspatch_core.slides.slide import folded
from atlaspatch_core.tables import bare_name, read_columns
from atlaspatch_core.texts import decode_text, parse_json

SHARED = "labels"
"""Base of the name of a table for all masks of a folder."""
TABLES = (".csv", ".tsv", ".json", ".gpl")
"""What a table may be called behind the base of its mask, or ``SHARED``, in any case of letters."""
VALUE_COLUMNS = ("value", "label", "id", "index", "code", "number", "gtcode", "labelvalue", "pixelvalue")
NAME_COLUMNS = ("name", "class", "label", "labels", "description", "text")
"""How columns are called, without capitals, blanks and signs, the usual first."""
GEOJSON_TYPES = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection")
MOST_BYTES = 2**20
"""Of a table of labels; a larger JSON file is outlines."""
WHOLE = re.compile(r"\d+")

Labels = tuple[tuple[str, int], ...]
"""Names and values, as the table has them; one name may have several."""


def values_of(mask: Path, stem: str, labels: Sequence[int | str]) -> tuple[int, ...]:
    """Return the values of a mask image that are meant, by number or by name; sorted.

    Names are those of the table beside the mask: of its own (``a.csv`` for ``a.png``) or else of ``labels.csv``;
    capitals and the composition of accents do not matter. Raises UnusableMask for a name that the table does not have,
    naming those that it has, and where there is no table or it cannot be used.
    """
    names = [name for name in labels if isinstance(name, str)]
    numbers = {value for value in labels if isinstance(value, int)}
    if names:
        path, table = _table_of(mask, stem, names[0])
        numbers |= {value for name in names for value in _values(name, stem, mask, path, table)}
    return tuple(sorted(numbers))


def _values(name: str, stem: str, mask: Path, path: Path, labels: Labels) -> list[int]:
    exact = [value for label, value in labels if label == name]
    values = exact or [value for label, value in labels if folded(label) == folded(name)]
    if not values:
        there_are = ", ".join(f"{label} ({value})" for label, value in labels) or "none"
        raise UnusableMask(
            f"{stem}: no value of its mask {mask} is called {name} (--mask-values); {path} names {there_are}"
        )
    return values


def _table_of(mask: Path, stem: str, name: str) -> tuple[Path, Labels]:
    bases = [folded(base) for base in (mask.stem, mask.name, SHARED)]
    beside = {folded(path.name): path for path in sorted(mask.parent.iterdir()) if path.suffix.lower() in TABLES}
    for base in bases:
        tables = [path for path in (beside.get(base + suffix) for suffix in TABLES) if path]
        tables = [path for path in tables if path != mask and not is_outlines(path)]
        if len(tables) > 1:
            raise UnusableMask(f"{stem}: {' and '.join(map(str, tables))} both name the values of its mask; leave one")
        if tables:
            return tables[0], read_labels(tables[0], stem)
    raise UnusableMask(
        f"{stem}: nothing says which value of its mask {mask} is {name} (--mask-values); put a table {mask.stem}.csv "
        f"or {SHARED}.csv with the columns value and name beside it, or give numbers"
    )


def is_outlines(path: Path) -> bool:
    """Tell whether a file holds outlines rather than a table of labels."""
    if path.suffix.lower() != ".json":
        return path.suffix.lower() == ".geojson"
    stat = path.stat()
    return stat.st_size > MOST_BYTES or _is_geojson(path, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _is_geojson(path: Path, mtime_ns: int) -> bool:  # noqa: ARG001
    """Tell it of a small file; one that is no JSON is taken for outlines, and refused as such."""
    try:
        top = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return True
    items = top if isinstance(top, list) else [top]
    return not items or any(isinstance(item, dict) and item.get("type") in GEOJSON_TYPES for item in items)


def read_labels(path: Path, stem: str) -> Labels:
    """Return what a table says. Raises UnusableMask for one that cannot be read, or names nothing."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnusableMask(
            f"{stem}: {path} cannot be read as a table of values and names ({error}); give the columns value and name"
        ) from error


@lru_cache(maxsize=256)
def _read(path: Path, mtime_ns: int) -> Labels:  # noqa: ARG001
    suffix = path.suffix.lower()
    if suffix == ".json":
        labels = list(_in_json(parse_json(decode_text(path.read_bytes()))))
    elif suffix == ".gpl":
        labels = list(_in_palette(decode_text(path.read_bytes()).splitlines()))
    else:
        labels = list(_in_columns(*read_columns(path, ValueError)))
    if not labels:
        raise ValueError("it names no value")
    return tuple(dict.fromkeys(labels))


def _in_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, int]]:
    """Yield the labels of a CSV, with or without a head: one column is whole numbers, another one names."""
    headless = any(WHOLE.fullmatch(text) for text in head)
    rows = [list(head), *rows] if headless else rows
    bare = [] if headless else list(map(bare_name, head))
    width = min(map(len, rows), default=0)
    whole = [place for place in range(width) if all(WHOLE.fullmatch(row[place]) for row in rows)]
    words = [place for place in range(width) if place not in whole and all(row[place] for row in rows)]
    value, name = _chosen(whole, bare, VALUE_COLUMNS, "whole numbers"), _chosen(words, bare, NAME_COLUMNS, "names")
    yield from ((row[name], int(row[value])) for row in rows)


def _chosen(places: Sequence[int], head: Sequence[str], keys: Sequence[str], what: str) -> int:
    """Return the one column of this kind, or the one that is called as such columns are. Raises ValueError."""
    if len(places) == 1:
        return places[0]
    called = [place for name in keys for place in places if place < len(head) and head[place] == name]
    if not called:
        raise ValueError(f"{len(places)} of its columns have {what} alone, and none is called {keys[0]}")
    return called[0]


def _in_palette(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield the labels of a GIMP palette, whose colours are numbered from 0."""
    colours = [parts for line in lines if len(parts := line.split(None, 3)) >= 3 and all(map(str.isdigit, parts[:3]))]
    yield from ((parts[3].strip(), index) for index, parts in enumerate(colours) if len(parts) > 3)


def _in_json(top: Any) -> Iterator[tuple[str, int]]:
    """Yield labels however JSON has them.

    ``{"2": "tumor"}``, ``{"tumor": 2}``, ``{"tumor": [2, 3]}``, ``[{"value": 2, "name": "tumor"}]``, ``["glass",
    "tumor"]`` from 0 on, any of them under ``labels``, ``classes`` or ``names``, and an OME-Zarr label's
    ``image-label``.
    """
    if isinstance(top, list):
        yield from _in_list(top)
    elif "image-label" in top:
        yield from _in_list([*top["image-label"].get("properties", ()), *top["image-label"].get("colors", ())])
    elif nested := next((top[key] for key in ("labels", "classes", "names", "attributes") if key in top), None):
        yield from _in_json(nested)
    else:
        for key, value in top.items():
            yield from _pair(str(key), value)


def _pair(key: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, str | dict) and WHOLE.fullmatch(key):
        yield (value if isinstance(value, str) else _named(value, NAME_COLUMNS)), int(key)
    else:
        yield from ((key, _whole(number)) for number in (value if isinstance(value, list) else [value]))


def _in_list(items: Sequence[Any]) -> Iterator[tuple[str, int]]:
    for index, item in enumerate(items):
        if isinstance(item, str):
            yield item, index
        elif any(bare_name(key) in NAME_COLUMNS and isinstance(text, str) for key, text in item.items()):
            number = _named(item, VALUE_COLUMNS)
            yield _named(item, NAME_COLUMNS), _whole(number)


def _named(item: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """Return the value of an object under the first of these keys that it has with such a value."""
    kind = str if keys is NAME_COLUMNS else int
    by_key = {bare_name(key): value for key, value in item.items() if isinstance(value, kind)}
    return by_key[next(name for name in (*keys, "") if name in by_key or not name)]


def _whole(number: Any) -> int:
    if isinstance(number, bool) or int(number) != number or number < 0:
        raise ValueError(f"{number} is no value of a pixel")
    return int(number)
