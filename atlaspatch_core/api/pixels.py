"""The pixels of patches, one after the other."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.api.slide import as_opened
from atlaspatch_core.config.sections import Runtime
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.slides.slide import Slide

BATCH = 32
"""Patches that are read together; it decides no pixel."""


class Patch(NamedTuple):
    """One patch."""

    pixels: NDArray[np.uint8]
    """RGB, shape (patch_size, patch_size, 3)."""
    coords: tuple[int, int]
    """x, y of the top-left corner, level-0 px."""
    row: int
    """Which row of ``grid.coords`` it is."""


def patches(slide: Slide, grid: PatchGrid) -> Iterator[Patch]:
    """Yield every patch of a grid once, as encoders get it; each tile of the slide is decoded once, by all cores.

    ``PatchDataset`` gives the same patches to a ``DataLoader``, and by their number.

    Args:
        slide: An open slide.
        grid: Its patches, as ``lay_grid`` chose them.

    Yields:
        Patches: ``pixels``, RGB uint8 (patch_size, patch_size, 3), ``coords``, x and y in level-0 px, and ``row``, for
        they come in any order.

    Raises:
        UnreadableSlide: Pixels of a patch cannot be decoded.

    Example:
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20, min_tissue=0.9)
        >>> for pixels, (x, y), row in ap.patches(slide, grid):
        ...     assert pixels.shape == (256, 256, 3) and grid.coords[row].tolist() == [x, y]
    """
    from atlaspatch_core.patches.stream import stream_patches

    for batch in stream_patches(as_opened(slide), grid, batch_size=BATCH, workers=Runtime().readers):
        for row, pixels in zip(batch.rows.tolist(), batch.patches, strict=True):
            x, y = grid.coords[row].tolist()
            yield Patch(pixels.copy(), (x, y), row)  # memory that batches lie in is written again
