"""Files that are whole or not there: kernel lock, temporary file, fsync, rename."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.storage.paths import OutputPaths

TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{32}\.tmp")


def slide_lock(output: Path, stem: str) -> FileLock:
    """Return the lock under which a slide's files are written; the kernel frees it when its process dies.

    The lock file stays: it holds nothing, and unlinking it would let two processes lock two files of one name.
    """
    path = OutputPaths(output).lock(stem)
    make_folder(path.parent)
    return FileLock(path, thread_local=False)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents. Raises UnwritableOutput naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableOutput(
            f"{folder}: the folder cannot be made ({error.strerror}); choose another output or change its permissions"
        ) from error


@contextmanager
def replacing(path: Path, stem: str | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on a clean exit it takes the place of ``path``, durable and at once.

    To be used under the lock of ``stem``, by default that of ``path``: sweeping leaves it alone while it is held.
    Raises UnwritableOutput when the disk is full or the folder is not writable.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{stem or path.stem}.{uuid4().hex}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, stem: str | None = None) -> Iterator[Path]:
    """Give the same for a folder with files in it; what lies at ``path`` goes when the new one is whole.

    Between the two renames nothing lies there. Raises UnwritableOutput as ``replacing`` does.
    """
    make_folder(path.parent)
    temporary, former = (path.with_name(f".{stem or path.stem}.{uuid4().hex}.tmp") for _ in range(2))
    try:
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _sync(file)
        if path.exists():
            path.replace(former)
        try:
            temporary.replace(path)
        except OSError:
            if former.exists():
                former.replace(path)
            raise
        _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        for leftover in (temporary, former):
            _remove(leftover)


def _unwritable(path: Path, error: OSError) -> UnwritableOutput:
    return UnwritableOutput(
        f"{path.stem}: {path} cannot be written ({error.strerror or error}); free space or change its permissions"
    )


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, where it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_half_written(output: Path, folders: Iterable[Path]) -> int:
    """Remove temporary files that killed processes left; those of a live writer hold their lock and stay.

    Returns how many were removed.
    """
    files = [file for folder in folders for file in half_written(folder)]
    return sum(remove_orphan(output, file) for file in files)


def half_written(folder: Path) -> list[Path]:
    """Return the temporary files in a folder: of killed processes, and of those that write now."""
    files = sorted(folder.glob(".*.tmp")) if folder.is_dir() else []
    return [file for file in files if TEMPORARY.fullmatch(file.name)]


def remove_orphan(output: Path, file: Path, *, for_real: bool = True) -> bool:
    """Remove a temporary file unless somebody holds the lock of its stem; return whether it went, or would go."""
    match = TEMPORARY.fullmatch(file.name)
    try:
        with slide_lock(output, match["stem"] if match else file.name).acquire(timeout=0):
            if for_real:
                _remove(file)
            return True
    except Timeout:
        return False
