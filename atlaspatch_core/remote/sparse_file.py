"""A local file of an object's size, with holes: what is wanted of it is fetched once, and lies there from then on.

Beside it lie what it is a copy of, and a byte a block that says whether the block is there; several processes share
them. Whoever reads the file without asking for its bytes first reads zeros.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import Condition
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import RemoteObject, read_bytes

BLOCK = 1024
"""Bytes that are there or not. Smaller than tiles, so that little is fetched that nobody wants."""
LARGEST_GAP = 8
"""Blocks that nobody wants and that are fetched where this saves a request."""
PIECE = 1024
"""Most blocks of a request: several travel at once."""
CONNECTIONS = 16
DESCRIPTION, BLOCKS = ".remote.json", ".remote.blocks"
"""What the names of the files beside it end in."""

Numbers = NDArray[np.int64]


@final
class SparseFile:
    """The holes of one file. Safe from several threads and processes."""

    def __init__(self, path: Path) -> None:
        """``path`` is a file that ``create`` made."""
        self.path, self.object = path, _read_description(beside(path, DESCRIPTION))
        self._there = np.memmap(beside(path, BLOCKS), np.uint8, "r+") if self.object.size else np.zeros(0, np.uint8)
        self._coming = np.zeros(len(self._there), bool)
        self._changed = Condition()

    @classmethod
    def create(cls, path: Path, one: RemoteObject) -> Self:
        """Return a file that is all hole. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.truncate(one.size)
        with beside(path, BLOCKS).open("xb") as file:
            file.truncate(-(-one.size // BLOCK))
        when = one.modified.timestamp()
        os.utime(path, (when, when))
        description = {"url": one.place.url, "size": one.size, "modified": one.modified.isoformat(), "etag": one.etag}
        beside(path, DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        return cls(path)

    @property
    def fetched(self) -> int:
        """Bytes that are there."""
        return int(np.count_nonzero(self._there)) * BLOCK

    def need(self, offsets: ArrayLike, byte_counts: ArrayLike) -> None:
        """Return once these bytes are there; offsets and counts have one shape. Raises as ``read_bytes`` does."""
        blocks = _blocks_of(offsets, byte_counts, len(self._there))
        while (mine := self._claim(blocks)).size or not self._there[blocks].all():
            self._fetch(mine)

    def need_all(self) -> None:
        """Return once the file is whole."""
        self.need([0], [self.object.size])

    def _claim(self, blocks: Numbers) -> Numbers:
        """Return those blocks that are neither there nor on their way; they are on their way then.

        Where there are none, wait until the others came, or did not.
        """
        with self._changed:
            mine = blocks[(self._there[blocks] == 0) & ~self._coming[blocks]]
            if mine.size:
                self._coming[mine] = True
            else:
                self._changed.wait_for(lambda: not self._coming[blocks].any())
            return mine

    def _fetch(self, mine: Numbers) -> None:
        try:
            pieces = [_pool().submit(self._fetch_piece, first, stop) for first, stop in _pieces(mine)]
            _wait_for(pieces)
        finally:
            with self._changed:
                self._coming[mine] = False
                self._changed.notify_all()

    def _fetch_piece(self, first: int, stop: int) -> None:
        start, end = first * BLOCK, min(stop * BLOCK, self.object.size)
        content = read_bytes(self.object, start, end)
        file = os.open(self.path, os.O_WRONLY)
        try:
            while content:
                written = os.pwrite(file, content, start)
                content, start = content[written:], start + written
        finally:
            os.close(file)
        self._there[first:stop] = 1


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file beside a sparse one."""
    return path.with_name(f".{path.name}{suffix}")


@lru_cache(256)
def _open(path: Path, _number: int) -> SparseFile:
    return SparseFile(path)


def sparse_file(path: Path) -> SparseFile | None:
    """Return the holes of a file, None where it is whole or no copy of an object."""
    try:
        state = beside(path, DESCRIPTION).stat()
    except OSError:
        return None
    return _open(path, state.st_ino)


def close_holes(path: Path) -> None:
    """Fetch what a file lacks, and forget that it was a sparse one; nothing for others."""
    if file := sparse_file(path):
        file.need_all()
        for suffix in (DESCRIPTION, BLOCKS):
            beside(path, suffix).unlink(missing_ok=True)


def _blocks_of(offsets: ArrayLike, byte_counts: ArrayLike, count: int) -> Numbers:
    """Return the numbers of the blocks in which bytes lie, sorted, each once; those beyond the file's end are none."""
    starts, lengths = np.asarray(offsets, np.int64).ravel(), np.asarray(byte_counts, np.int64).ravel()
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    firsts = np.clip(starts // BLOCK, 0, count)
    stops = np.clip(-(-(starts + lengths) // BLOCK), 0, count)
    marks = np.zeros(count + 1, np.int64)
    np.add.at(marks, firsts, 1)
    np.add.at(marks, stops, -1)
    return np.flatnonzero(np.cumsum(marks)[:-1])


def _pieces(blocks: Numbers) -> Iterator[tuple[int, int]]:
    """Yield first and past-the-last block of requests, which bridge small gaps and are of bounded length."""
    if not blocks.size:
        return
    breaks = np.flatnonzero(np.diff(blocks) > LARGEST_GAP + 1) + 1
    for run in np.split(blocks, breaks):
        first, stop = int(run[0]), int(run[-1]) + 1
        yield from ((at, min(stop, at + PIECE)) for at in range(first, stop, PIECE))


@lru_cache(1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(CONNECTIONS, "remote")


def _wait_for(pieces: list[Future[None]]) -> None:
    """Return once all pieces came; raise the first error, after the others ended or were not begun."""
    errors = []
    for piece in pieces:
        try:
            piece.result()
        except BaseException as error:  # raised again below, once the others ended
            errors.append(error)
            for other in pieces:
                other.cancel()
    if errors:
        raise errors[0]


def _read_description(path: Path) -> RemoteObject:
    description = json.loads(path.read_text(encoding="utf-8"))
    scheme, _, rest = description["url"].partition("://")
    bucket, _, key = rest.partition("/")
    return RemoteObject(
        RemotePlace(scheme, bucket, key),
        description["size"],
        datetime.fromisoformat(description["modified"]),
        description["etag"],
    )
