"""The lock under which the files of the tracking are written, and what is done where its holder keeps it for ever.

A process that is stopped, or hangs on a file system that is away, holds its kernel lock as long as it lives. What the
lock guards is a note of what was done, so nobody waits for that: after a while the lock is made anew for the others.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from atlaspatch_core.operations.tracking.json_files import lock_of, lock_path

log = logging.getLogger(__name__)

NAME = "tracking"
SECONDS_TO_WAIT = 30.0
"""A process that has held the lock for so long is stopped or hangs: writing one of these files takes milliseconds."""
TRIES = 30
"""Into so many the wait is cut, so that time in which the one that waits was itself stopped counts as one of them."""


@contextmanager
def hold_tracking_lock(output: Path) -> Iterator[None]:
    """Hold the lock of the tracking; one that a single process keeps for ``SECONDS_TO_WAIT`` is taken from it.

    Who loses it so may write once more when it goes on: hence files are replaced as a whole, those of several by
    ``change_text``. Raises OSError or UnwritableOutput where the folder cannot be written.
    """
    path, lock = lock_path(output, NAME), lock_of(output, NAME)
    holding = _holding(path)
    while not _acquire(lock):
        before, holding = holding, _holding(path)
        if holding == before:
            _take_away(path, holding[1])
    try:
        with suppress(OSError):  # a full disk: then nobody knows who holds it
            _holder_path(path).write_text(f"{os.getpid()}@{socket.gethostname()} {uuid4().hex}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock) -> bool:
    for _ in range(TRIES):
        with suppress(Timeout):
            lock.acquire(timeout=SECONDS_TO_WAIT / TRIES)
            return True
    return False


def _take_away(path: Path, holder: str) -> None:
    """Let the others, and this process, find a new lock in the place of the one that is held."""
    log.warning(
        "%s is held for over %.0f s by %s, which is stopped or hangs; this run goes on without waiting for it, "
        "nothing is lost, and that process may be continued or ended",
        path,
        SECONDS_TO_WAIT,
        f"process {holder.split()[0]}" if holder else "a process that did not name itself",
    )
    path.unlink(missing_ok=True)


def _holding(path: Path) -> tuple[int, str]:
    """Return what changes whenever somebody else gets the lock: which file it is, and what its holder wrote."""
    try:
        return path.stat().st_ino, _holder_path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0, ""


def _holder_path(path: Path) -> Path:
    return path.with_suffix(".holder")
