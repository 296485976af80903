"""What killed processes left half-written in the output folder of a project."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.storage.atomic import half_written, remove_orphan
from atlaspatch_core.storage.store import Store

DRAFT = re.compile(r".+\.json\.(?P<pid>\d+)")
"""A cache that a process writes anew, named with its number."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A half-written file."""

    path: Path
    bytes: int
    hours: float
    """Since it was last written to."""
    reason: str
    """Why it is not removed; empty where it is."""


def prune_leftovers(project: Project, *, least_minutes: float, dry_run: bool) -> list[Leftover]:
    """Remove half-written files that nobody writes to; return all there are, in a dry run as they would fare.

    A file stays while a process holds the lock of its slide: on a network drive a lock of another machine may not be
    seen, so it also stays until ``least_minutes`` have passed since it was last written to.

    Args:
        project: Its output folder is looked through.
        least_minutes: Age, minutes, from which a file may go.
        dry_run: Remove nothing.

    Returns:
        Every half-written file, with bytes, age in hours, and why it stays.

    Example:
        >>> prune_leftovers(recipe.project, least_minutes=60, dry_run=True)
        []
    """
    leftovers = []
    for home, path in _half_written(project):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        minutes = (time.time() - stat.st_mtime) / 60
        reason = f"younger than {least_minutes:g} minutes" if minutes < least_minutes else ""
        if not reason and not _remove(home, path, for_real=not dry_run):
            reason = "a process writes to it"
        leftovers.append(Leftover(path, stat.st_size, minutes / 60, reason))
    return leftovers


def _half_written(project: Project) -> Iterator[tuple[Path, Path]]:
    """Yield the folder whose locks count, and the file."""
    store, output = Store(project.output), project.output
    names = dict.fromkeys(["", *(geometry.name for geometry in project.geometry)])
    images = _subfolders(store.patch_images("any", name).parent for name in names)
    for folder in (output, *store.folders(list(names)), *images):
        yield from ((output, path) for path in half_written(folder))
    for folder in _subfolders(store.case("any", "any", name).parent.parent for name in names):
        yield from ((folder, path) for path in half_written(folder))
    index = store.index("any").parent
    drafts = sorted(index.iterdir()) if index.is_dir() else []
    yield from ((output, path) for path in drafts if DRAFT.fullmatch(path.name))


def _subfolders(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()


def _remove(home: Path, path: Path, *, for_real: bool) -> bool:
    draft = DRAFT.fullmatch(path.name)
    if draft is None:
        return remove_orphan(home, path, for_real=for_real)
    if _alive(int(draft["pid"])):
        return False
    if for_real:
        path.unlink(missing_ok=True)
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
