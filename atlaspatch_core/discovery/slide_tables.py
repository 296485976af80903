"""The tables that a user gives: µm per px of slides, and lists of slides, as CSV from any spreadsheet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PureWindowsPath

from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.slides.sections import ALL, SeriesChoice, as_series
from atlaspatch_core.slides.slide import folded, stem_of
from atlaspatch_core.slides.stated_scales import positive_number
from atlaspatch_core.tables import TableRow, read_table
from atlaspatch_core.texts import path_fault, shortened


@dataclass(frozen=True, slots=True)
class TableMpp:
    """What a table of µm/px states of one slide."""

    mpp: float
    """µm per px of level 0."""
    where: str = ""
    """File and line."""
    notes: tuple[str, ...] = ()
    """What a person should know of it, a clause each."""

    def after(self, earlier: "TableMpp") -> "TableMpp":
        """Return this statement, which counts, with what is to be said of an ``earlier`` one of the same slide."""
        if earlier.mpp == self.mpp:
            return replace(self, notes=(*earlier.notes, *self.notes))
        both = f"two µm/px are stated, {earlier.mpp} in {earlier.where} and {self.mpp} in {self.where}, which counts"
        return replace(self, notes=(*earlier.notes, *self.notes, both))


@dataclass(frozen=True, slots=True)
class ListedSlide:
    """A line of a list of slides."""

    line: int
    """The head is line 1."""
    name: str
    """Path from the folder of slides, with suffix."""
    mpp: float | None = None
    """µm per px of level 0, where the list states it."""
    notes: tuple[str, ...] = ()
    """What a person should know of the line, a clause each."""
    series: SeriesChoice = None
    """Which image of the file, where the list says so."""
    cohort: str = ""
    """What the column of cohorts says, where one was named."""
    called: str = ""
    """What is said of it in place of its name, where that is hidden."""

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.called or self.name


def read_mpp_csv(path: Path, *, is_private: bool = False) -> dict[str, TableMpp]:
    """Return µm per px by name as it is written, from a CSV with the columns ``wsi`` (file name or path) and ``mpp``.

    Which slide a name means, ``SlideNames`` says. The last row of a name wins, with a note where rows disagree; one
    without an mpp says nothing. Raises InvalidProject naming file, line and value, but no slide if ``is_private``.
    """
    by_name: dict[str, TableMpp] = {}
    for row in _rows(path, ("wsi", "mpp"), is_private=is_private):
        line = row.line
        name = PureWindowsPath(row["wsi"]).name
        if not stem_of(PureWindowsPath(name)):
            raise InvalidProject(f"{path}, line {line}: wsi is {row['wsi']!r}; give the file name of a slide")
        if not row["mpp"]:
            continue
        stated = TableMpp(_mpp(path, line, row["mpp"]), f"{path}, line {line}")
        by_name[name] = stated.after(by_name[name]) if name in by_name else stated
    if not by_name:
        raise InvalidProject(f"{path}: no row states an mpp; give µm per px of level 0, or leave the table out")
    return by_name


def read_slide_list(
    path: Path, cohort_column: str | None = None, *, is_private: bool = False
) -> tuple[ListedSlide, ...]:
    """Return the slides that a CSV names in its column ``wsi``, with what its columns ``mpp`` and ``series`` say.

    Their cohort is what ``cohort_column`` says, if one is named.

    A slide that stands twice, with the same series, is taken once, with a note that names both lines. Raises
    InvalidProject naming file, line and value, also for a slide that stands twice with two mpp or cohorts. If they are
    ``is_private``, slides are not named.
    """
    columns = ("wsi", *([cohort_column] if cohort_column else []))
    first: dict[tuple[str, SeriesChoice], ListedSlide] = {}
    for row in _rows(path, columns, ("mpp", "series"), is_private=is_private):
        line = row.line
        if not row["wsi"]:
            raise InvalidProject(f"{path}, line {line}: wsi is empty; give the path of a slide, with its suffix")
        mpp = _mpp(path, line, row["mpp"]) if row["mpp"] else None
        listed = ListedSlide(line, row["wsi"], mpp, series=series_in(path, line, row["series"]))
        listed = replace(listed, called="its slide") if is_private else listed
        listed = replace(listed, cohort=row[cohort_column]) if cohort_column else listed
        key = listed.name, listed.series
        first[key] = taken_once(path, first[key], listed) if key in first else listed
    return tuple(first.values())


def series_in(path: Path, line: int, text: str) -> SeriesChoice:
    """Return which image of its file a line names; None where it says nothing. Raises InvalidProject."""
    series = as_series(text)
    if text and series is None:
        raise InvalidProject(
            f"{path}, line {line}: series is {text!r}; give the number of an image, 0 or more, or {ALL}, or leave it "
            f"empty"
        )
    return series


def add_row(table: Path, rows: dict[SeriesChoice, ListedSlide], slide: ListedSlide) -> None:
    """Put a line among those of its file, one for each image. Raises InvalidProject where two state two mpp."""
    first = rows.get(slide.series)
    rows[slide.series] = taken_once(table, first, slide) if first else slide


def taken_once(path: Path, one: ListedSlide, other: ListedSlide) -> ListedSlide:
    """Return the first of two lines of one slide, with a note. Raises InvalidProject where they disagree."""
    first, second = sorted((one, other), key=lambda listed: listed.line)
    if first.mpp != second.mpp:
        both = f"{first.mpp or 'none'} in line {first.line}, {second.mpp or 'none'} here"
        raise InvalidProject(f"{path}, line {second.line}: {second.shown} has two mpp, {both}; leave one of the lines")
    if first.cohort != second.cohort:
        both = f"{first.cohort or 'none'} in line {first.line}, {second.cohort or 'none'} here"
        raise InvalidProject(
            f"{path}, line {second.line}: {second.shown} has two cohorts, {both}; leave one of the lines"
        )
    as_what = "" if first.shown == second.shown else f", as {first.shown}"
    note = f"{path}, line {second.line}: {second.shown} stands in line {first.line}, too{as_what}; it is taken once"
    return replace(first, notes=tuple(dict.fromkeys((*first.notes, *second.notes, note))))


def listed_path(folder: Path, name: str) -> Path:
    """Return where a slide of a table lies, or would lie: ``name`` is its path from ``folder``.

    A table from Windows may write backslashes. What is written exactly wins over the one path that differs in capitals
    or in the composition of accents alone.
    """
    path = folder / name
    if path_fault(path) or path.exists():
        return path
    parts = Path(name.replace("\\", "/") if "\\" in name else name)
    return _similar(folder / parts) or folder / parts


def _similar(path: Path) -> Path | None:
    """Return the one path that there is under this name or one that differs as ``folded`` names do not."""
    if path.exists() or path == path.parent:
        return path
    parent = _similar(path.parent)
    alike = _names(parent, parent.stat().st_mtime_ns).get(folded(path.name), ()) if parent and parent.is_dir() else ()
    return parent / alike[0] if parent and len(alike) == 1 else None


@lru_cache(maxsize=16)
def _names(folder: Path, mtime_ns: int) -> dict[str, tuple[str, ...]]:  # noqa: ARG001
    """Return folded name to the names in a folder; read again when it changes."""
    names: dict[str, tuple[str, ...]] = {}
    for path in folder.iterdir():
        names[folded(path.name)] = (*names.get(folded(path.name), ()), path.name)
    return names


def missing(table: Path, slide: ListedSlide, folders: Sequence[Path]) -> LeftOut:
    """Return what to say of a line whose slide is not there."""
    places, what = (
        " or ".join(str(folder) for folder in folders),
        "such slide" if slide.called else shown_name(slide.name),
    )
    why = f"{table}, line {slide.line}: there is no {what} in {places}; correct the path, or put the slide there"
    return LeftOut(table if slide.called else folders[0] / slide.name, why)


def shown_name(name: str) -> str:
    """Return the name of a slide as a sentence can show it."""
    return shortened(name) if path_fault(Path(name)) or not name.isprintable() else name


def _rows(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), *, is_private: bool = False
) -> list[TableRow]:
    """Return the rows of a table. Raises InvalidProject, also where there is none."""
    rows = read_table(path, needed, optional, InvalidProject, is_private=is_private)
    if not rows:
        raise InvalidProject(f"{path}: no row under {' and '.join(needed)}; give one row for each slide")
    return rows


def _mpp(path: Path, line: int, text: str) -> float:
    mpp = positive_number(text)
    if mpp is None:
        raise InvalidProject(f"{path}, line {line}: mpp is {text!r}; give µm per px, a number above 0")
    return mpp
