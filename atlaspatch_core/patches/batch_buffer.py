"""Pieces of reading that threads do ahead of the consumer, in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import final
from weakref import finalize

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PatchBatch:
    """Some patches of a grid."""

    rows: NDArray[np.int64]
    """Shape (b,): which rows of ``grid.coords`` these are."""
    patches: NDArray[np.uint8]
    """Shape (b, patch_size, patch_size, 3): RGB, patch i belongs to ``rows[i]``; white outside the slide."""


Fill = Callable[["BatchBuffer"], None]
Allocate = Callable[[tuple[int, ...]], NDArray[np.uint8]]
"""Returns memory for a batch of this shape."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadTask:
    """Some reading that one thread does; it writes to patches of any batch that is open."""

    fill: Fill
    """Writes patches, or parts of them, to the shelf."""
    begins: int
    """How many batches, from the first on, this and all earlier pieces write to."""
    ends: int
    """How many batches, from the first on, are whole once this and all earlier pieces are done."""
    byte_count: int
    """Of the pixels that it reads."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadPlan:
    """Patches in the order in which they become whole, and the pieces that make them so, to be read in order."""

    rows: NDArray[np.int64]
    """Shape (n,): rows of the grid."""
    pieces: Iterable[ReadTask]


LOOK_AHEAD_BYTES = 12 * 2**20
"""Pixels that wait, or are being read, besides the batches in use.

Few, because memory that comes round soon is still in the processor's cache: measured, 48 MiB cost a tenth of decoding.
"""
PIECE_BYTES = 4 * 2**20
"""Pixels of one piece: large, so that handing it over costs nothing; small, to share fairly."""


@final
class BatchBuffer:
    """The batches that are being filled; a batch takes memory only when a piece writes to it, and never for more
    patches than there are.
    """

    def __init__(self, rows: NDArray[np.int64], patch_size: int, batch_size: int, allocate: Allocate) -> None:
        self._rows, self._allocate = rows, allocate
        self._shape = max(1, min(batch_size, len(rows))), patch_size, patch_size, 3
        self._open: dict[int, NDArray[np.uint8]] = {}
        self._begun = 0
        self._ended = 0

    def __getitem__(self, patch: int) -> NDArray[np.uint8]:
        """Return where the patch of this place in the order goes, shape (patch_size, patch_size, 3)."""
        batch, place = divmod(patch, self._shape[0])
        return self._open[batch][place]

    def begin(self, count: int) -> None:
        """Open batches up to this number of them."""
        for batch in range(self._begun, count):
            self._open[batch] = self._allocate(self._shape)
        self._begun = max(self._begun, count)

    def end(self, count: int) -> Iterator[PatchBatch]:
        """Yield batches up to this number of them."""
        for batch in range(self._ended, count):
            rows = self._rows[batch * self._shape[0] : (batch + 1) * self._shape[0]]
            yield PatchBatch(rows, self._open.pop(batch)[: len(rows)])
        self._ended = max(self._ended, count)


def run_read_plan(
    reading: ReadPlan, *, patch_size: int, batch_size: int, workers: int, allocate: Allocate | None = None
) -> Generator[PatchBatch]:
    """Read the pieces on ``workers`` threads, never far ahead of the consumer, and yield each batch when it is whole.

    ``allocate`` gives memory for the batches; left out, it is that of batches that are gone. What ``fill`` raises is
    raised here. Closing the generator stops the threads.
    """
    shelf = BatchBuffer(reading.rows, patch_size, batch_size, allocate or partial(_recycled, spare=[]))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="patches")
    waiting: deque[tuple[ReadTask, Future[None]]] = deque()
    try:
        for piece in reading.pieces:
            shelf.begin(piece.begins)
            waiting.append((piece, pool.submit(piece.fill, shelf)))
            while len(waiting) > workers and sum(piece.byte_count for piece, _ in waiting) > LOOK_AHEAD_BYTES:
                yield from _finished(shelf, *waiting.popleft())
        while waiting:
            yield from _finished(shelf, *waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(shelf: BatchBuffer, piece: ReadTask, filled: Future[None]) -> Iterator[PatchBatch]:
    """Wait for a piece; yield the batches that are whole with it."""
    filled.result()
    yield from shelf.end(piece.ends)


def _recycled(shape: tuple[int, ...], spare: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an array whose memory comes to ``spare``, and from there, once it and all its views are gone.

    The kernel fills fresh memory with zeros first, which costs a tenth of decoding.
    """
    memory = spare.pop() if spare else np.empty(shape, np.uint8)
    # Views keep alive the array they were taken from: this one, because its own memory is no array's but a buffer.
    array = np.frombuffer(memory.data, np.uint8)
    finalize(array, spare.append, memory).atexit = False
    return array.reshape(shape)
