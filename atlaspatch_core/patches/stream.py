"""The pixels of a grid: every patch once, in bounded memory, read by several threads."""

from collections.abc import Generator, Iterator
from typing import Self, final

import numpy as np

from atlaspatch_core.patches.batch_buffer import PatchBatch, ReadPlan, run_read_plan
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import Downscale
from atlaspatch_core.patches.regions import read_patch, region_read_plan
from atlaspatch_core.patches.tiles.reduced import DCT_FACTORS
from atlaspatch_core.patches.tiles.tile_stream import TileStream, open_tile_stream
from atlaspatch_core.slides.slide import Slide

__all__ = ["PatchBatch", "PatchStream", "open_stream", "read_patch", "stream_patches"]


@final
class PatchStream:
    """The patches of one grid, to be iterated once; a context manager that closes what it opened (not the slide)."""

    def __init__(
        self, slide: Slide, grid: PatchGrid, source: TileStream | str, *, batch_size: int, workers: int
    ) -> None:
        self.path = source.path if isinstance(source, TileStream) else "regions"
        """``tiles``: each stored tile is decoded once. ``regions``: the slide's reader is asked for every piece.

        ``tiles dct 1/4``: each stored tile is decoded once, at a quarter of its size.
        """
        self.why = source if isinstance(source, str) else source.why
        """Why this path was taken."""
        self._tiles = source if isinstance(source, TileStream) else None
        self._batches = self._run(slide, grid, batch_size, workers)

    def _run(self, slide: Slide, grid: PatchGrid, batch_size: int, workers: int) -> Generator[PatchBatch]:
        others = np.arange(len(grid.coords))
        if self._tiles is not None:
            yield from _run(self._tiles.reading(batch_size), grid, batch_size, workers)
            others = self._tiles.others
        if len(others):
            yield from _run(region_read_plan(slide, grid, others, batch_size), grid, batch_size, workers)

    def __iter__(self) -> Iterator[PatchBatch]:
        return self._batches

    def close(self) -> None:
        """Stop the threads and release the file."""
        self._batches.close()
        if self._tiles is not None:
            self._tiles.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_stream(
    slide: Slide, grid: PatchGrid, *, batch_size: int, workers: int, downscale: Downscale = "area"
) -> PatchStream:
    """Return the stream of a grid's patches: each row once, in any order, in batches of at most ``batch_size``.

    The pixels are those of ``read_patch``, byte for byte. Where the slide stores tiles that give the same pixels as its
    reader, each is decoded once, whatever the number of patches that need it; ``path`` says which way was taken.
    ``downscale`` ``dct``: where JPEG tiles can be decoded at the patches' own scale, and that is much faster
    (``DCT_FACTORS``), they are; pixels then differ a little from area-averaged ones.
    ``workers`` threads read ahead of the consumer, by a bounded number of bytes.
    Raises UnreadableSlide, also while it is iterated, when pixels of a patch cannot be decoded.
    """
    factors = DCT_FACTORS if downscale == "dct" else ()
    source = open_tile_stream(slide, grid, factors) if len(grid.coords) else "there are no patches"
    return PatchStream(slide, grid, source, batch_size=batch_size, workers=workers)


def _run(reading: ReadPlan, grid: PatchGrid, batch_size: int, workers: int) -> Generator[PatchBatch]:
    return run_read_plan(reading, patch_size=grid.sampling.patch_size, batch_size=batch_size, workers=workers)


def stream_patches(slide: Slide, grid: PatchGrid, *, batch_size: int, workers: int) -> Generator[PatchBatch]:
    """Yield the pixels of a grid's patches in batches, each patch once, in any order.

    Each stored tile is decoded once where that gives the reader's very pixels (``open_stream`` says which way it took).

    Args:
        slide: An open slide.
        grid: Its patches.
        batch_size: Patches in a batch, at most.
        workers: Threads that read ahead, by a bounded number of bytes.

    Yields:
        Batches: ``rows`` of the grid, (b,), and ``patches``, RGB uint8 (b, side, side, 3), side in px of the target.

    Raises:
        UnreadableSlide: Pixels of a patch cannot be decoded.

    Example:
        >>> from shapely import box
        >>> grid = lay_grid(slide.info, [box(0, 0, 512, 512)], GridSpec(patch_size=128))
        >>> [batch.patches.shape for batch in stream_patches(slide, grid, batch_size=10, workers=2)]
        [(10, 128, 128, 3), (6, 128, 128, 3)]
    """
    with open_stream(slide, grid, batch_size=batch_size, workers=workers) as stream:
        yield from stream
