"""The pixels of a grid: every patch once, in bounded memory, read by several threads."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.scale import Sampling
from atlaspatch_core.slide import Region, Slide

LOOK_AHEAD_BATCHES = 2
"""Batches being read while one is consumed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some patches of a grid."""

    rows: NDArray[np.int64]
    """Shape (b,): which rows of ``grid.coords`` these are."""
    patches: NDArray[np.uint8]
    """Shape (b, patch_size, patch_size, 3): RGB, patch i belongs to ``rows[i]``; white outside the slide."""


def read_patch(slide: Slide, x: int, y: int, sampling: Sampling) -> NDArray[np.uint8]:
    """Return the RGB pixels of the patch whose top-left corner is (x, y) level-0 px.

    Shape (patch_size, patch_size, 3): ``read_size`` px of ``level``, area-averaged where that is not ``patch_size``.
    Raises UnreadableSlide when the pixels cannot be decoded.
    """
    side = sampling.read_size
    return averaged(slide.read_region(Region(x, y, sampling.level, side, side)), sampling.patch_size)


def averaged(pixels: NDArray[np.uint8], patch_size: int) -> NDArray[np.uint8]:
    """Return a square of pixels at ``patch_size``, by area averaging; the same array where it has that size."""
    if pixels.shape[0] == patch_size:
        return pixels
    return np.asarray(cv2.resize(pixels, (patch_size, patch_size), interpolation=cv2.INTER_AREA), np.uint8)


def stream_patches(slide: Slide, grid: PatchGrid, *, batch_size: int, workers: int) -> Iterator[Batch]:
    """Yield every patch of the grid once, in batches of ``batch_size`` (the last one may be smaller), in any row order.

    ``workers`` threads read ahead; at most ``LOOK_AHEAD_BATCHES`` batches wait besides the one in use.
    Raises UnreadableSlide when pixels of a patch cannot be decoded.
    """
    rows_left = iter(np.array_split(np.arange(len(grid.coords)), range(batch_size, len(grid.coords), batch_size)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="patches")
    waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
    try:
        for rows in rows_left:
            if len(rows):
                waiting.append(_start(pool, slide, grid, rows))
            if len(waiting) > LOOK_AHEAD_BATCHES:
                yield _finish(*waiting.popleft())
        while waiting:
            yield _finish(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _start(
    pool: ThreadPoolExecutor, slide: Slide, grid: PatchGrid, rows: NDArray[np.int64]
) -> tuple[Batch, list[Future[None]]]:
    """Hand the patches of a batch to the pool; each is written into its place."""
    side = grid.sampling.patch_size
    batch = Batch(rows, np.empty((len(rows), side, side, 3), np.uint8))

    def fill(place: int) -> None:
        x, y = grid.coords[rows[place]].tolist()
        batch.patches[place] = read_patch(slide, x, y, grid.sampling)

    return batch, [pool.submit(fill, place) for place in range(len(rows))]


def _finish(batch: Batch, reads: list[Future[None]]) -> Batch:
    """Wait until a batch is whole; raise what a read raised."""
    for read in reads:
        read.result()
    return batch
