"""What many small files say, remembered in one: a file that lies untouched is not read again."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from atlaspatch_core.texts import parse_json

TICK_NS = 2 * 10**9
"""Coarsest clock of a file system: a file that changed so lately may change again and keep its modification time."""
READERS = 8
"""Threads that read files; on network drives most of the time is waiting."""
BATCH = 8 * READERS
"""Files that are read between two questions for the time."""


def always(_: Any) -> bool:
    """Say yes."""
    return True


def never() -> bool:
    """Say no."""
    return False


@dataclass(frozen=True, slots=True)
class FileIndex:
    """A cache of values by stem, valid as long as a file keeps its size and modification time.

    What is read of a file in the first two seconds after a change is not remembered.
    """

    cache: Path
    """File that remembers; where it cannot be written, everything is read again next time."""
    read: Callable[[Path], Any]
    """Returns JSON values for a file."""
    version: int
    """Raised when ``read`` returns something else."""
    remember: bool = True
    """Whether the cache may be written."""
    keeps: Callable[[Any], bool] = always
    """Tells whether a value may be remembered."""
    forgets_absent: bool = True
    """Whether files that are not asked for are forgotten."""

    def read_values(
        self,
        files: Mapping[str, os.stat_result],
        path: Callable[[str], Path],
        decided_by: Mapping[str, str] = MappingProxyType({}),
        is_late: Callable[[], bool] = never,
    ) -> dict[str, Any]:
        """Return stem to value for these files; those that changed are read, and what was read is remembered.

        ``decided_by``: stem to what else decides the value of a file; where that changed, it is read, too.
        ``is_late`` tells whether time is up; what was not read by then is left out.
        """
        entries, unsettled_since = self._remembered(), time.time_ns() - TICK_NS
        marks = {stem: f"{stat.st_mtime_ns} {stat.st_size}{decided_by.get(stem, '')}" for stem, stat in files.items()}
        values = {
            stem: entries[stem][1] for stem, mark in marks.items() if stem in entries and entries[stem][0] == mark
        }
        lasting, changed = set(values), [stem for stem in marks if stem not in values]
        try:
            for stem, value in self._read_all(changed, path, is_late):
                values[stem] = value
                if files[stem].st_mtime_ns < unsettled_since and self.keeps(value):
                    lasting.add(stem)
        finally:
            absent = {} if self.forgets_absent else {stem: entries[stem] for stem in entries.keys() - marks.keys()}
            new_entries = absent | {stem: [marks[stem], values[stem]] for stem in marks if stem in lasting}
            if self.remember and new_entries != entries:
                self._remember(new_entries)
        return {stem: values[stem] for stem in marks if stem in values}

    def _read_all(
        self, stems: Sequence[str], path: Callable[[str], Path], is_late: Callable[[], bool]
    ) -> Iterator[tuple[str, Any]]:
        """Yield stem and value, in their order, until time is up."""
        with ThreadPoolExecutor(READERS, "index") as pool:
            for start in range(0, len(stems), BATCH):
                if is_late():
                    return
                batch = stems[start : start + BATCH]
                yield from zip(batch, pool.map(lambda stem: self.read(path(stem)), batch), strict=True)

    def _remembered(self) -> dict[str, Any]:
        try:
            values = parse_json(self.cache.read_bytes())
            return values["files"] if values["version"] == self.version else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _remember(self, files: Mapping[str, Any]) -> None:
        draft = self.cache.with_name(f"{self.cache.name}.{uuid4().hex}")  # process ids of two machines may be equal
        try:
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"version": self.version, "files": files}, separators=(",", ":")))
            draft.replace(self.cache)
        except OSError:
            draft.unlink(missing_ok=True)


def list_files(folder: Path, suffix: str) -> dict[str, os.stat_result]:
    """Return stem to size and times of the files of a folder with this suffix; empty where there is no folder.

    By name: the order in which a file system lists is another in every folder.
    """
    try:
        with os.scandir(folder) as entries:
            named = {entry.name: entry for entry in entries if entry.name.endswith(suffix) and entry.name[0] != "."}
            return {name.removesuffix(suffix): named[name].stat() for name in sorted(named)}
    except FileNotFoundError:
        return {}
