"""Tables that people write, read as they mean them: CSV of any spreadsheet, whose columns are found by their names."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.texts import decode_text, parse_number

SEPARATORS = ",;\t"
LIKENESS = 0.65
"""From which on a name that is not known is taken for a misspelt one; ``mmp`` for ``mpp`` has 0.67, ``mpps`` 0.86."""
STATEMENT = re.compile(rf'"?sep=([{SEPARATORS}])"?(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
QUOTED = re.compile(rf'(?<![^{SEPARATORS}]) *"[^"]*(?:""[^"]*)*"')
"""A value in quotes, whatever separates values."""
HEAD = re.compile(rf"(?:{QUOTED.pattern}|[^\r\n])*")
"""The first row, in which a quoted value may have lines."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula, where a cell begins with it."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row that says something."""

    line: int
    """In the file; the head is line 1."""
    values: Mapping[str, str]
    """Column to its text, without blanks around it."""

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


def read_table(
    path: Path,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    error: type[AtlasPatchError] = AtlasPatchError,
    *,
    is_private: bool = False,
) -> list[TableRow]:
    """Return the rows of a CSV file, with the columns ``needed`` and, where it has them, ``optional``.

    UTF-8 and UTF-16 with a byte order mark, quotes, Windows newlines, commas, semicolons and tabs are understood, and
    columns whose names differ in capitals, blanks, dashes and underscores. Other columns, and empty rows, are passed
    over. Raises ``error`` naming the file, and line or column, but nothing of its text where that ``is_private``: for a
    file that is no such table, a column that is
    missing, stands twice or seems misspelt, and a row with more values than there are columns.
    """
    _, ((_, head), *lines) = _lines_of(path, error)
    columns = dict(_columns(path, head, needed, optional, error, is_private=is_private))
    return [_row(path, line, values, head, columns, error) for line, values in lines if any(values)]


def read_columns(path: Path, error: type[Exception]) -> tuple[list[str], list[list[str]]]:
    """Return the first row and all others, empty ones left out, whatever their columns are. Raises ``error``."""
    _, head, rows = read_separated(path, error)
    return head, rows


def read_separated(path: Path, error: type[Exception]) -> tuple[str, list[str], list[list[str]]]:
    """Return the same after what separates values, which says whether a comma in a number can be a decimal one."""
    separator, ((_, head), *lines) = _lines_of(path, error)
    return separator, head, [values for _, values in lines if any(values)]


def write_table(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV that no spreadsheet executes: a text that it takes for a formula begins with ``'``.

    ``read_table`` takes that away again. Numbers stay numbers.
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([safe_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def safe_cell(value: object) -> object:
    """Return what stands in a cell for a value."""
    is_text = isinstance(value, str) and parse_number(value) is None
    return f"'{value}" if is_text and str(value).lstrip("' ").startswith(FORMULA) else value


def cell_text(text: str) -> str:
    """Return what a cell says, without the ``'`` that keeps it from being a formula."""
    return text[1:] if text.startswith("'") and text.lstrip("' ").startswith(FORMULA) else text


def _lines_of(path: Path, error: type[Exception]) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return what separates values, and all lines."""
    stated, text = _without_statement(_text(path, error))
    separator = stated or _separator(text)
    try:
        return separator, list(_lines(text, separator, 2 if stated else 1))
    except csv.Error as problem:
        raise error(f"{path}: cannot be read as CSV ({problem}); save the table as CSV UTF-8") from problem


def _lines(text: str, separator: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line in which each row begins, and its values; the head, in line ``first``, may be empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    line = first
    try:
        for values in reader if text else ([],):
            yield line, [cell_text(value.strip()) for value in values]
            line = reader.line_num + first
    except csv.Error as problem:
        raise csv.Error(f"line {line}: {problem}; is a quote open?") from problem


def _text(path: Path, error: type[Exception]) -> str:
    try:
        return decode_text(path.read_bytes())
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read as UTF-8 text ({problem}); save the table as CSV UTF-8") from problem


def _without_statement(text: str) -> tuple[str, str]:
    """Return the separator that a first line ``sep=;`` states, as Excel writes it, or none, and the text after it."""
    stated = STATEMENT.match(text)
    return (stated[1], text[stated.end() :]) if stated else ("", text)


def _separator(text: str) -> str:
    """Return what stands most often in the head, outside of quotes."""
    head = HEAD.match(text)
    outside = QUOTED.sub("", head[0]) if head else ""
    return max(SEPARATORS, key=outside.count)


def _columns(
    path: Path,
    head: Sequence[str],
    needed: Sequence[str],
    optional: Sequence[str],
    error: type[AtlasPatchError],
    *,
    is_private: bool,
) -> Iterator[tuple[int, str]]:
    """Yield the place of each column that is asked for."""
    places = {
        name: [place for place, other in enumerate(head) if bare_name(other) == bare_name(name)]
        for name in (*needed, *optional)
    }
    matched = {place for of_name in places.values() for place in of_name}
    unmatched = {bare_name(name): name for place, name in enumerate(head) if place not in matched and name}
    there_are = "others" if is_private else ", ".join(filter(None, head)) or "none"
    for name, of_name in places.items():
        if len(of_name) > 1:
            raise error(f"{path}: the column {name} stands twice in line 1, there are {there_are}; leave one")
        meant = [] if of_name else get_close_matches(bare_name(name), unmatched, n=1, cutoff=LIKENESS)
        misspelt = f"; if {unmatched[meant[0]]} is meant, rename it" if meant else ""
        if not of_name and name in needed:
            raise error(f"{path}: the column {name} is missing, there are {there_are}; name it in line 1{misspelt}")
        if meant:
            raise error(
                f"{path}: there is no column {unmatched[meant[0]]}; if {name} is meant, rename it, or else take it away"
            )
        yield from ((place, name) for place in of_name)


def bare_name(name: str) -> str:
    """Return a name without capitals, blanks and signs."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _row(
    path: Path,
    line: int,
    values: Sequence[str],
    head: Sequence[str],
    columns: Mapping[int, str],
    error: type[AtlasPatchError],
) -> TableRow:
    if any(values[len(head) :]):
        raise error(
            f"{path}, line {line}: {len(values)} values under {len(head)} columns; put a value with a comma in quotes, "
            "or separate values by semicolons"
        )
    return TableRow(line, {columns[place]: value for place, value in enumerate(values) if place in columns})
