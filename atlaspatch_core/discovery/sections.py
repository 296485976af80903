"""Files told apart into the scans that they hold, where each is to be a slide of its own; each file is opened once.

What was found is remembered by path, size and time, so that a search over many files opens those that are new.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.slide_tables import ListedSlide
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.hidden_names import are_names_hidden
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.slides.files import ZARR, consists_of_many
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.local_copy import local_copy
from atlaspatch_core.slides.private_links import hide_target
from atlaspatch_core.slides.readers.omezarr import METADATA
from atlaspatch_core.slides.sections import ALL, SeriesChoice, find_sections, section_stem
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.storage.file_index import FileIndex
from atlaspatch_core.wording import format_count

log = logging.getLogger(__name__)

VERSION = 1
"""Raised where other sections may be found in a file that did not change."""
SECONDS_A_LOOK = 20.0
"""For which a sensor opens files; it goes on at its next look. It has 60 s for one."""
OF_IMAGES = "OME/METADATA.ome.xml"

Sections = tuple[int, ...]
"""Numbers of the scans of a file that holds several; empty for one that holds one."""


@dataclass(frozen=True, slots=True)
class SectionSearch:
    """Which images of files are slides, and what helps to find that out."""

    choice: SeriesChoice = None
    """Of files of which a list says nothing."""
    reader: str | None = None
    """The one that opens every slide, if it was named."""
    memory: Path | None = None
    """File that remembers; None: each search opens every file."""
    remember: bool = True
    """Whether that may be written."""
    seconds: float | None = None
    """After which no further file is opened; None: all are."""


AS_FILES = SectionSearch()
"""A file is a slide."""


@dataclass(frozen=True, slots=True)
class SectionOfFile:
    """A slide in a file."""

    stem: str
    series: SeriesChoice
    """Which image of the file; ``all`` for a file that could not be told apart, which opening it explains."""
    listed: ListedSlide | None = None
    """Its line of the list of slides."""


@dataclass(frozen=True, slots=True)
class SectionTable:
    """What was found out of files that are to be told apart."""

    numbers: Mapping[Path, Sections | None]
    """None for a file that cannot be told apart; those for which there was no time are not in it."""
    late: tuple[Path, ...] = ()
    """Files for which there was no time, sorted."""

    def of_file(
        self, stem: str, path: Path, rows: Sequence[ListedSlide], choice: SeriesChoice
    ) -> Iterator[SectionOfFile]:
        """Yield the slides in a file, each once: a line that names a number counts before one that says ``all``."""
        seen: set[str] = set()
        for row in sorted(rows, key=lambda row: row.series in (None, ALL)) or (None,):
            for section in self._of_row(stem, path, row, choice):
                if section.stem not in seen:
                    seen.add(section.stem)
                    yield section

    def _of_row(self, stem: str, path: Path, row: ListedSlide | None, choice: SeriesChoice) -> Iterator[SectionOfFile]:
        series = choice if row is None or row.series is None else row.series
        if series == ALL and path not in self.numbers:
            return
        if series == ALL:
            numbers = self.numbers[path]
            yield from (SectionOfFile(section_stem(stem, number), number, row) for number in numbers or ())
            if not numbers:
                yield SectionOfFile(stem, None if numbers == () else ALL, row)
        elif row is not None and isinstance(row.series, int):
            yield SectionOfFile(section_stem(stem, row.series), row.series, row)
        else:
            yield SectionOfFile(stem, series, row)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What to say of the files for which there was no time."""
        if not self.late:
            return ()
        count = format_count(len(self.late), "file", ",")
        why = f"{count} from {self.late[0]} on not yet looked into for sections; the next search goes on there"
        return (LeftOut(self.late[0], why, is_folder=True),)


def is_told_apart(rows: Sequence[ListedSlide], choice: SeriesChoice) -> bool:
    """Say whether each section of a file is to be a slide: as its lines of a list say, or else ``choice``."""
    return ALL in ([choice if row.series is None else row.series for row in rows] or [choice])


def tell_apart(paths: Iterable[Path], search: SectionSearch) -> SectionTable:
    """Return the sections of files; those that were looked into before and lie untouched are not opened."""
    by_key = {str(path.absolute()): path for path in paths}
    states: dict[str, os.stat_result] = {}
    marks: dict[str, str] = {}
    for key, path in by_key.items():
        try:
            states[key] = path.stat()
            marks[key] = f" {search.reader or ''} {_mark(path)}"
        except OSError as error:  # it went away; opening it says so
            log.debug("%s: %s", path, error)
            states.pop(key, None)
    end = None if search.seconds is None else time.monotonic() + search.seconds
    index = FileIndex(
        search.memory or Path(),
        partial(_numbers, reader=search.reader),
        VERSION,
        remember=search.remember and search.memory is not None,
        keeps=lambda numbers: numbers is not None,
        forgets_absent=False,
    )
    numbers_by_key = index.read_values(states, Path, marks, is_late=lambda: end is not None and time.monotonic() > end)
    numbers = {
        path: _sections(numbers_by_key.get(key))
        for key, path in by_key.items()
        if key in numbers_by_key or key not in states
    }
    return SectionTable(numbers, tuple(sorted(path for path in by_key.values() if path not in numbers)))


def _sections(numbers: list[int] | None) -> Sections | None:
    return None if numbers is None else tuple(numbers)


def _numbers(path: Path, reader: str | None) -> list[int] | None:
    hide_target(path)
    try:
        return list(
            call_reader(stem_of(path), "while its sections were told apart", _find_here, local_copy(path), reader)
        )
    except Exception as error:  # of a file that is broken a library may raise anything; opening the slide says it
        words = error if isinstance(error, AtlasPatchError) or not are_names_hidden() else type(error).__name__
        log.debug("%s: its sections are not known: %s", path, words)
        return None


def _find_here(path: Path, reader: str | None) -> Sections:
    """Return the sections of a file in the process that opens it, which does not say the file's name either."""
    hide_target(path)
    return find_sections(path, reader)


def _mark(path: Path) -> str:
    """Return what changes beside size and time of a path when other sections may be there. Raises OSError."""
    if not consists_of_many(path):
        return ""
    return _mark_of_store(path) if path.is_dir() and path.suffix.lower() == ZARR else file_signature(path)


def _mark_of_store(path: Path) -> str:
    """Return the times of what describes the images of a Zarr store; its chunks are not looked at."""
    groups = (path, *sorted(child for child in path.iterdir() if child.is_dir()))
    files = (*(group / name for group in groups for name in METADATA), path / OF_IMAGES)
    return " ".join(str(file.stat().st_mtime_ns) for file in files if file.is_file())
