"""Folders of copies on a fast disk: each of one process alone, whose lock dies with the process."""

import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

OWN = re.compile(r"\.atlaspatch-[0-9a-f]{32}")
"""Names of folders that hold copies; hidden, so that no search for slides finds them."""


def own_folder(cache: Path) -> tuple[Path, FileLock]:
    """Return a new folder in ``cache``, and the lock that says whose it is for as long as this process lives."""
    while True:
        folder = cache / f".atlaspatch-{uuid4().hex}"
        lock = FileLock(_lock_file(folder), thread_local=False)
        with suppress(Timeout):
            lock.acquire(timeout=0)
            if _lock_file(folder).exists():  # else another process took the new lock for a leftover, and removed it
                folder.mkdir()
                return folder, lock
            lock.release()


def remove_own(folder: Path, lock: FileLock) -> None:
    """Remove a folder of ours and its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_file(folder).unlink(missing_ok=True)
    lock.release()


def remove_leftovers(cache: Path) -> None:
    """Remove the folders of processes that are dead: those whose lock is free. Nothing else is touched."""
    for file in cache.glob(".atlaspatch-*.lock"):
        folder = file.with_suffix("")
        if OWN.fullmatch(folder.name):
            with suppress(Timeout):
                lock = FileLock(file, thread_local=False)
                lock.acquire(timeout=0)
                log.info("removing the copies that a killed run left in %s", folder)
                remove_own(folder, lock)


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
