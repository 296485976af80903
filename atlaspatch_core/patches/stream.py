"""The pixels of a grid: every patch once, in bounded memory, read by several threads."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.batch_buffer import PatchBatch
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import Downscale
from atlaspatch_core.patches.isolated_stream import open_isolated_stream, read_isolated_patches
from atlaspatch_core.patches.local_stream import PatchStream, ReadOptions, open_local_stream
from atlaspatch_core.patches.regions import read_patch, read_patches_here
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.isolated import IsolatedSlide
from atlaspatch_core.slides.slide import Slide

__all__ = ["PatchBatch", "PatchStream", "open_stream", "read_patch", "read_patches", "stream_patches"]


def open_stream(
    slide: Slide, grid: PatchGrid, *, batch_size: int, workers: int, downscale: Downscale = "area"
) -> PatchStream:
    """Return the stream of a grid's patches: each row once, in any order, in batches of at most ``batch_size``.

    The pixels are those of ``read_patch``, byte for byte (of the slide without alpha, where px outside are black).
    Where the slide stores tiles that give the same pixels as its reader, each is decoded once, whatever the number of
    patches that need it; ``path`` says which way was taken.
    ``downscale`` ``dct``: where JPEG tiles can be decoded at the patches' own scale, and that is much faster
    (``DCT_FACTORS``), they are; pixels then differ a little from area-averaged ones.
    ``workers`` threads read ahead of the consumer, by a bounded number of bytes.
    Raises UnreadableSlide, also while it is iterated, when pixels of a patch cannot be decoded.
    """
    options = ReadOptions(batch_size, workers, downscale)
    if isinstance(slide, IsolatedSlide):
        return open_isolated_stream(slide, grid, options)
    return open_local_stream(slide, grid, options)


def read_patches(slide: Slide, coords: NDArray[np.int32], sampling: Sampling) -> NDArray[np.uint8]:
    """Return the patches with these top-left corners (b, 2), level-0 px, in their order: (b, side, side, 3), RGB.

    The pixels are those of ``stream_patches``, which is faster for a whole grid.
    Raises UnreadableSlide when pixels cannot be decoded.
    """
    if isinstance(slide, IsolatedSlide):
        return read_isolated_patches(slide, coords, sampling)
    return read_patches_here(slide, coords, sampling)


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
