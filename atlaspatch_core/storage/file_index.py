"""What many small files say, remembered in one: a file that lies untouched is not read again."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

TICK_NS = 2 * 10**9
"""Coarsest clock of a file system: a file that changed so lately may change again and keep its modification time."""
READERS = 8
"""Threads that read files; on network drives most of the time is waiting."""


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

    def read_values(
        self,
        files: Mapping[str, os.stat_result],
        path: Callable[[str], Path],
        decided_by: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return stem to value for these files; those that changed are read.

        ``decided_by``: stem to what else decides the value of a file; where that changed, it is read, too.
        """
        entries, unsettled_since = self._remembered(), time.time_ns() - TICK_NS
        marks = {stem: f"{stat.st_mtime_ns} {stat.st_size}{decided_by.get(stem, '')}" for stem, stat in files.items()}
        changed = [stem for stem, mark in marks.items() if stem not in entries or entries[stem][0] != mark]
        fresh = dict(zip(changed, self._read_all(path(stem) for stem in changed), strict=True))
        values = {stem: fresh[stem] if stem in fresh else entries[stem][1] for stem in marks}
        stems = [stem for stem in marks if stem not in fresh or files[stem].st_mtime_ns < unsettled_since]
        if self.remember and (new_entries := {stem: [marks[stem], values[stem]] for stem in stems}) != entries:
            self._remember(new_entries)
        return values

    def _read_all(self, paths: Iterable[Path]) -> list[Any]:
        with ThreadPoolExecutor(READERS, "index") as pool:
            return list(pool.map(self.read, paths))

    def _remembered(self) -> dict[str, Any]:
        try:
            values = json.loads(self.cache.read_bytes())
            return values["files"] if values["version"] == self.version else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _remember(self, files: Mapping[str, Any]) -> None:
        draft = self.cache.with_name(f"{self.cache.name}.{os.getpid()}")
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
