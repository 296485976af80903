"""The pixels of a grid, read in this process."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.batch_buffer import Allocate, PatchBatch, ReadPlan, run_read_plan
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import Downscale
from atlaspatch_core.patches.regions import region_read_plan
from atlaspatch_core.patches.tiles.reduced import DCT_FACTORS
from atlaspatch_core.patches.tiles.tile_stream import TileStream, open_tile_stream
from atlaspatch_core.slides.slide import Slide


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How patches are read; but for ``downscale`` it decides no pixel."""

    batch_size: int
    """Patches in a batch, at most."""
    workers: int
    """Threads that read ahead."""
    downscale: Downscale = "area"


@final
class PatchStream:
    """The patches of one grid, to be iterated once; a context manager that closes what it opened (not the slide)."""

    def __init__(self, path: str, why: str, batches: Generator[PatchBatch], release: Callable[[], None]) -> None:
        self.path = path
        """``tiles``: each stored tile is decoded once. ``regions``: the slide's reader is asked for every piece.

        ``tiles dct 1/4``: each stored tile is decoded once, at a quarter of its size.
        """
        self.why = why
        """Why this path was taken."""
        self._batches, self._release = batches, release

    def __iter__(self) -> Iterator[PatchBatch]:
        return self._batches

    def close(self) -> None:
        """Stop the threads and release the file."""
        self._batches.close()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_local_stream(
    slide: Slide, grid: PatchGrid, options: ReadOptions, allocate: Allocate | None = None
) -> PatchStream:
    """Return the stream of a grid's patches, read by threads of this process into memory that ``allocate`` gives.

    Black px outside the slide are those of tools that drop OpenSlide's alpha, and so are all others then.
    """
    slide = slide.without_alpha() if grid.sampling.fill == 0 else slide
    factors = DCT_FACTORS if options.downscale == "dct" else ()
    source = open_tile_stream(slide, grid, factors) if len(grid.coords) else "there are no patches"
    return stream_of(slide, grid, source, options, allocate)


def stream_of(
    slide: Slide, grid: PatchGrid, source: TileStream | str, options: ReadOptions, allocate: Allocate | None = None
) -> PatchStream:
    """Return the stream of stored tiles, or of regions for the reason that is given."""
    if isinstance(source, str):
        batches = _of_regions(slide, grid, np.arange(len(grid.coords)), options, allocate)
        return PatchStream("regions", source, batches, lambda: None)
    return PatchStream(source.path, source.why, _of_tiles(slide, grid, source, options, allocate), source.close)


def _of_tiles(
    slide: Slide, grid: PatchGrid, tiles: TileStream, options: ReadOptions, allocate: Allocate | None
) -> Generator[PatchBatch]:
    yield from _run(tiles.reading(options.batch_size), grid, options, allocate)
    if len(tiles.others):
        yield from _of_regions(slide, grid, tiles.others, options, allocate)


def _of_regions(
    slide: Slide, grid: PatchGrid, rows: NDArray[np.int64], options: ReadOptions, allocate: Allocate | None
) -> Generator[PatchBatch]:
    if len(rows):
        yield from _run(region_read_plan(slide, grid, rows, options.batch_size), grid, options, allocate)


def _run(reading: ReadPlan, grid: PatchGrid, options: ReadOptions, allocate: Allocate | None) -> Generator[PatchBatch]:
    return run_read_plan(
        reading,
        patch_size=grid.sampling.patch_size,
        batch_size=options.batch_size,
        workers=options.workers,
        allocate=allocate,
    )
