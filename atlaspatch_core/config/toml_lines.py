"""On which line of a project file a key or a value stands, for what is to be said of it."""

import re
from collections.abc import Iterator, Sequence

HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]")
KEY = re.compile(r"""\s*([\w."'-]+)\s*=""")

Place = tuple[str | int, ...]
"""Names of tables and keys, and numbers in lists, as pydantic has them."""


def line_of(text: str, place: Sequence[str | int], value: object = None) -> int | None:
    """Return the line, from 1, of the key at a place, or of the nearest above it; None where neither stands there.

    Of a ``value`` in a list it is the line that quotes it.

    >>> line_of('output = "out"\\n[runtime]\\ndevce = "cpu"', ("runtime", "devce"))
    3
    """
    lines = dict(reversed(list(_places(text))))
    found_place = next((tuple(place[:end]) for end in range(len(place), 0, -1) if tuple(place[:end]) in lines), None)
    if found_place is None:
        return None
    line = lines[found_place]
    return (line_quoting(text, str(value), line) or line) if isinstance(value, str) else line


def line_quoting(text: str, value: str, first: int = 1) -> int | None:
    """Return the line, from the ``first`` on, on which a text stands between quotes; None where there is none."""
    quoted = (f'"{value}"', f"'{value}'")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if number >= first and any(one in line for one in quoted)), None)


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Yield where each table and key stands, in the order of the file."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            table = _numbered(_names(header[2]), counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
            yield table[:1], number
        elif key := KEY.match(line):
            yield (*table, *_names(key[1])), number


def _numbered(names: Place, counts: dict[Place, int]) -> Place:
    """Return a table below the last one of a list of tables: ``geometry.filters`` is of the geometry above it."""
    place: Place = ()
    for name in names[:-1]:
        place = (*place, name)
        place = (*place, counts[place]) if place in counts else place
    return (*place, *names[-1:])


def _names(dotted: str) -> Place:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))
