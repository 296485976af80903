"""Several files at once, and one transfer of an output folder at a time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from atlaspatch_core.errors import OutputInUse
from atlaspatch_core.operations.transfer.manifest import note_path
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.storage.atomic import make_folder
from atlaspatch_core.storage.paths import OutputPaths

FILES_AT_ONCE = 8

Item = TypeVar("Item")
Made = TypeVar("Made")
Watch = Callable[[Iterator[Made], int], Iterator[Made]]
"""Gives what comes on, and is told how many there are to be."""


def unwatched(items: Iterator[Made], count: int) -> Iterator[Made]:
    """Give what comes on."""
    del count
    yield from items


def in_threads(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Yield what comes of each item, in order; at a fault, and where nobody wants more, no further one begins."""
    pool = ThreadPoolExecutor(FILES_AT_ONCE, "transfer")
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_transfer(output: Path, place: RemotePlace) -> Iterator[None]:
    """Hold the lock of transfers between a folder and a place. Raises OutputInUse where another holds it."""
    path = OutputPaths(output).run_lock(f"upload-{note_path(output, place).stem}")
    make_folder(path.parent)
    try:
        with FileLock(path, thread_local=False).acquire(timeout=0):
            yield
    except Timeout as error:
        raise OutputInUse(
            f"{output}: another process sends files to {place.url} or has them from there; run again when it has ended"
        ) from error
