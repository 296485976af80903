"""The tables that a user gives: µm per px of slides, and lists of slides, as CSV from any spreadsheet."""

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.stated_scales import positive_number

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListedSlide:
    """A line of a list of slides."""

    line: int
    """The head is line 1."""
    name: str
    """Path from the folder of slides, with suffix."""
    mpp: float | None = None
    """µm per px of level 0, where the list states it."""


def read_mpp_csv(path: Path) -> dict[str, float]:
    """Return µm per px by name as it is written, from a CSV with the columns ``wsi`` (file name or path) and ``mpp``.

    Which slide a name means, ``SlideNames`` says. The last row of a name wins, with a warning where rows disagree; one
    without an mpp says nothing. Raises InvalidProject naming file, line and value.
    """
    by_name: dict[str, float] = {}
    for line, row in _rows(path, ("wsi", "mpp")):
        name = PureWindowsPath(row["wsi"]).name
        if not stem_of(PureWindowsPath(name)):
            raise InvalidProject(f"{path}, line {line}: wsi is {row['wsi']!r}; give the file name of a slide")
        if not row["mpp"]:
            continue
        mpp = _mpp(path, line, row["mpp"])
        if by_name.setdefault(name, mpp) != mpp:
            log.warning(
                "%s, line %d: %s has two mpp, %s above, %s here, which counts", path, line, name, by_name[name], mpp
            )
        by_name[name] = mpp
    return by_name


def read_slide_list(path: Path) -> tuple[ListedSlide, ...]:
    """Return the slides that a CSV names in its column ``wsi``, with what its column ``mpp`` says, if it has one.

    A slide that stands twice is taken once, with a warning that names both lines. Raises InvalidProject naming file,
    line and value, also for a slide that stands twice with two mpp.
    """
    first: dict[str, ListedSlide] = {}
    for line, row in _rows(path, ("wsi",)):
        if not row["wsi"]:
            raise InvalidProject(f"{path}, line {line}: wsi is empty; give the path of a slide, with its suffix")
        mpp = _mpp(path, line, row["mpp"]) if row.get("mpp") else None
        listed = ListedSlide(line, row["wsi"], mpp)
        check_twice(path, first.setdefault(listed.name, listed), listed)
    return tuple(first.values())


def check_twice(path: Path, one: ListedSlide, other: ListedSlide) -> None:
    """Warn where two lines name one slide. Raises InvalidProject where they state two mpp."""
    if one is other:
        return
    first, second = sorted((one, other), key=lambda listed: listed.line)
    if first.mpp != second.mpp:
        both = f"{first.mpp or 'none'} in line {first.line}, {second.mpp or 'none'} here"
        raise InvalidProject(f"{path}, line {second.line}: {second.name} has two mpp, {both}; leave one of the lines")
    as_what = "" if first.name == second.name else f", as {first.name}"
    where = f"{path}, line {second.line}"
    log.warning("%s: %s stands in line %d, too%s; it is taken once", where, second.name, first.line, as_what)


def listed_path(folder: Path, name: str) -> Path:
    """Return where a slide of a list lies; a list from Windows may write backslashes."""
    path = folder / name
    return path if "\\" not in name or path.exists() else folder / name.replace("\\", "/")


def missing(table: Path, slide: ListedSlide, folders: Sequence[Path]) -> LeftOut:
    """Return what to say of a line whose slide is not there."""
    places = " or ".join(str(folder) for folder in folders)
    return LeftOut(
        folders[0] / slide.name,
        f"{table}, line {slide.line}: there is no {slide.name} in {places}; correct the path, or put the slide there",
    )


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield line number and values by column, without blanks around them.

    A byte order mark, quotes, Windows newlines, semicolons, tabs and decimal commas are understood; empty lines are
    passed over. Raises InvalidProject for a file that is no such table, lacks a column, or has no rows.
    """
    lines = _lines(path)
    rows = csv.DictReader(lines, delimiter=_separator(lines), skipinitialspace=True, restval="")
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    if not set(needed) <= set(rows.fieldnames):
        columns = f"column{'s' * (len(needed) > 1)} {' and '.join(needed)}"
        raise InvalidProject(f"{path}: the first line must name the {columns}, it is {lines[:1]}")
    line = None
    for row in rows:
        line = rows.line_num
        yield line, {name: (row[name] or "").strip() for name in rows.fieldnames}
    if line is None:
        raise InvalidProject(f"{path}: no row under {' and '.join(needed)}; give one row for each slide")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidProject(f"{path}: cannot be read as UTF-8 text ({error}); save the table as CSV UTF-8") from error


def _separator(lines: Sequence[str]) -> str:
    head = lines[0] if lines else ""
    return next((sign for sign in ";\t" if sign in head and "," not in head), ",")


def _mpp(path: Path, line: int, text: str) -> float:
    mpp = positive_number(text)
    if mpp is None:
        raise InvalidProject(f"{path}, line {line}: mpp is {text!r}; give µm per px, a number above 0")
    return mpp
