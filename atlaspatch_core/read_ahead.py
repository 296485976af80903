"""Pieces of reading that threads do ahead of the consumer, in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from weakref import finalize

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some patches that one thread reads; they lie side by side in one batch."""

    rows: NDArray[np.int64]
    """Shape (n,): their rows in the grid."""
    fill: Callable[[NDArray[np.uint8]], None]
    """Writes the patches, shape (n, patch_size, patch_size, 3). May wait for earlier pieces, never for later ones."""
    ends_batch: bool
    """The batch is whole with this."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some patches of a grid."""

    rows: NDArray[np.int64]
    """Shape (b,): which rows of ``grid.coords`` these are."""
    patches: NDArray[np.uint8]
    """Shape (b, patch_size, patch_size, 3): RGB, patch i belongs to ``rows[i]``; white outside the slide."""


LOOK_AHEAD_BYTES = 12 * 2**20
"""Patches that wait, or are being read, besides the batches in use.

Few, because memory that comes round soon is still in the processor's cache: measured, 48 MiB cost a tenth of decoding.
"""
PIECE_BYTES = 4 * 2**20
"""Patches of one piece: large, so that handing it over costs nothing; small, to share fairly."""


def piece_size(read_size: int) -> int:
    """Return how many patches of this side, px, make one piece."""
    return max(1, PIECE_BYTES // (3 * read_size**2))


def cuts(
    count: int, most: int, batch_size: int, borders: NDArray[np.int64] | tuple[int, ...] = ()
) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive pieces of ``range(count)``, at most ``most`` long.

    None reaches over a border, nor over a multiple of ``batch_size``.
    """
    stops = {*np.asarray(borders, int).tolist(), *range(batch_size, count, batch_size), count} - {0}
    start = 0
    for stop in sorted(stops):
        for piece in range(start, stop, most):
            yield piece, min(stop, piece + most)
        start = stop


def run(pieces: Iterable[Piece], *, patch_size: int, batch_size: int, workers: int) -> Generator[Batch]:
    """Read the pieces on ``workers`` threads, never far ahead of the consumer, and yield each batch when it is whole.

    What ``fill`` raises is raised here. Closing the generator stops the threads.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="patches")
    waiting: deque[tuple[_Placed, Future[None]]] = deque()
    try:
        for item in _placed(pieces, patch_size, batch_size):
            waiting.append((item, pool.submit(item.fill)))
            if len(waiting) > workers and _bytes(waiting) > LOOK_AHEAD_BYTES:
                yield from _finished(*waiting.popleft())
        while waiting:
            yield from _finished(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A piece with its place in a batch."""

    piece: Piece
    batch: Batch
    start: int

    @property
    def stop(self) -> int:
        return self.start + len(self.piece.rows)

    def fill(self) -> None:
        """Write the patches into their batch."""
        self.piece.fill(self.batch.patches[self.start : self.stop])


def _placed(pieces: Iterable[Piece], patch_size: int, batch_size: int) -> Iterator[_Placed]:
    """Give each piece its place in a batch; a batch takes memory only when its first piece comes."""
    batch, start, spare = None, 0, []
    for piece in pieces:
        if batch is None:
            patches = _recycled((batch_size, patch_size, patch_size, 3), spare)
            batch, start = Batch(np.empty(batch_size, np.int64), patches), 0
        placed = _Placed(piece, batch, start)
        batch.rows[start : placed.stop] = piece.rows
        yield placed
        start = placed.stop
        if piece.ends_batch:
            batch = None


def _recycled(shape: tuple[int, ...], spare: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an array whose memory comes to ``spare``, and from there, once it and all its views are gone.

    The kernel fills fresh memory with zeros first, which costs a tenth of decoding.
    """
    memory = spare.pop() if spare else np.empty(shape, np.uint8)
    # Views keep alive the array they were taken from: this one, because its own memory is no array's but a buffer.
    array = np.frombuffer(memory.data, np.uint8)
    finalize(array, spare.append, memory).atexit = False
    return array.reshape(shape)


def _bytes(waiting: Iterable[tuple[_Placed, Future[None]]]) -> int:
    return sum(len(item.piece.rows) * item.batch.patches[0].nbytes for item, _ in waiting)


def _finished(item: _Placed, filled: Future[None]) -> Iterator[Batch]:
    """Wait for a piece; yield its batch where it was the last of it."""
    filled.result()
    if item.piece.ends_batch:
        yield Batch(item.batch.rows[: item.stop], item.batch.patches[: item.stop])
