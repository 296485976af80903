"""The pixels of a grid, read by the process that has the slide open: batches lie in memory that both see."""

import logging
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from mmap import mmap
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import KilledReader
from atlaspatch_core.isolation.process import IsolatedProcess
from atlaspatch_core.isolation.server import close_spare, held, hold, let_go, release_block, shared_block
from atlaspatch_core.isolation.shared_memory import BlockPlace, SharedBlock, SpareBlocks
from atlaspatch_core.patches.batch_buffer import PatchBatch
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.local_stream import PatchStream, ReadOptions, open_local_stream
from atlaspatch_core.patches.regions import read_patches_here
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.isolated import CLOSED, IsolatedSlide

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LentBatch:
    """Some patches, and where they lie in the shared memory."""

    rows: NDArray[np.int64]
    place: BlockPlace
    shape: tuple[int, ...]


def open_isolated_stream(slide: IsolatedSlide, grid: PatchGrid, options: ReadOptions) -> PatchStream:
    """Return the stream of a grid's patches, read by the process of the slide. Raises what reading raises."""
    number, path, why = slide.call(_open_stream, grid, options)

    def release() -> None:
        if slide.crash:
            return
        try:
            slide.call(_close_stream, number, doing=CLOSED)
        except KilledReader as crash:
            log.warning("%s; what was read of it before is whole", crash)

    return PatchStream(path, why, _batches(slide, number), release)


def read_isolated_patches(slide: IsolatedSlide, coords: NDArray[np.int32], sampling: Sampling) -> NDArray[np.uint8]:
    """Return what ``read_patches_here`` does, read by the process of the slide."""
    return slide.call(_read_patches, coords, sampling)


def _read_patches(slide: int, coords: NDArray[np.int32], sampling: Sampling) -> NDArray[np.uint8]:
    return read_patches_here(held(slide), coords, sampling)


def _batches(slide: IsolatedSlide, number: int) -> Generator[PatchBatch]:
    """Yield the batches; the next one is asked for before it is wanted."""
    mapped: dict[int, mmap] = {}
    lent = slide.ask(_next_batch, number)
    try:
        while batch := slide.result(lent):
            lent = slide.ask(_next_batch, number)
            yield _read_batch(batch, slide.process, mapped)
    finally:
        with suppress(Exception):  # whoever wants no more batches does not mind that the next cannot be read
            if unread := lent.result():
                slide.process.release(unread.place.offset)


def _read_batch(lent: LentBatch, process: IsolatedProcess, mapped: dict[int, mmap]) -> PatchBatch:
    """Return a batch as it lies in the shared memory, which is written again once the batch and its views are gone."""
    offset = lent.place.offset
    if offset not in mapped:
        mapped[offset] = process.map(lent.place)
    array = np.frombuffer(mapped[offset], np.uint8, prod(lent.shape))
    finalize(array, process.release, offset).atexit = False
    return PatchBatch(lent.rows, array.reshape(lent.shape))


@dataclass(slots=True)
class LentStream:
    """A stream of the process that reads, and the memory that it writes to."""

    stream: PatchStream | None = None
    spare: SpareBlocks = field(default_factory=SpareBlocks)
    filling: dict[int, SharedBlock] = field(default_factory=dict)
    """Address to a block that is written, and not lent yet."""

    def allocate(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return shared memory for a batch."""
        block = shared_block(prod(shape), self.spare)
        array = block.array(shape)
        self.filling[array.ctypes.data] = block
        return array

    def next_batch(self) -> LentBatch | None:
        """Return the next batch, or None."""
        assert self.stream is not None
        batch = next(iter(self.stream), None)
        if batch is None:
            return None
        block = self.filling.pop(batch.patches.ctypes.data)
        return LentBatch(batch.rows, block.place, batch.patches.shape)

    def close(self) -> None:
        """Stop reading; blocks that are lent come back later."""
        assert self.stream is not None
        self.stream.close()
        for block in self.filling.values():
            release_block(block)
        close_spare(self.spare)


def _open_stream(slide: int, grid: PatchGrid, options: ReadOptions) -> tuple[int, str, str]:
    lent = LentStream()
    lent.stream = open_local_stream(held(slide), grid, options, lent.allocate)
    return hold(lent), lent.stream.path, lent.stream.why


def _next_batch(_: int, number: int) -> LentBatch | None:
    return held(number).next_batch()


def _close_stream(_: int, number: int) -> None:
    let_go(number).close()
