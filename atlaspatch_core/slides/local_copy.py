"""Where the bytes of a slide can be read: on its disk, or in a copy where it lies in an object store."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atlaspatch_core.remote.places import REMOTE_FOLDER, RemotePlace
from atlaspatch_core.slides.remote_copies import GIGABYTE, CopyLimits, RemoteCopies

REMOTE_COPIES = RemoteCopies()
"""Those of this process."""


def limit_copies(folder: Path | None, gigabytes: float) -> None:
    """Say where the copies of this process may lie, and how much they may take; those that are there stay."""
    REMOTE_COPIES.limits = CopyLimits(folder, int(gigabytes * GIGABYTE))


def is_remote(path: Path) -> bool:
    """Tell whether a path is a placeholder, or a link to one."""
    return RemotePlace.of_placeholder(_target(path)) is not None


def local_copy(path: Path) -> Path:
    """Return where the bytes of a slide can be read: its copy, where the path is a placeholder; else the path."""
    return REMOTE_COPIES.copy(path) if is_remote(path) else path


@contextmanager
def copy_in_use(path: Path) -> Iterator[Path]:
    """Give where the bytes of a slide can be read for as long as this lasts."""
    if not is_remote(path):
        yield path
        return
    with REMOTE_COPIES.in_use(path) as copy:
        yield copy


def _target(path: Path) -> Path:
    if REMOTE_FOLDER in path.parts:
        return path
    first = next(iter(sorted(path.iterdir())), path) if path.is_dir() else path
    return Path(os.path.realpath(first)) if first.is_symlink() else path
