"""Patches of stored tiles, held against what the slide's reader gives patch by patch."""

import numpy as np

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream, read_patch
from atlaspatch_core.slides.slide import Slide


def grid_of(slide: Slide, *, patch: int = 48, read: int | None = None, step: int = 40, level: int = 0) -> PatchGrid:
    """Patches from corner to corner, over the right and bottom edges; ``step`` in px of the level."""
    read, downsample = read or patch, slide.info.levels[level].downsample
    stride = round(step * downsample)
    corners = [(x, y) for y in range(0, slide.info.height, stride) for x in range(0, slide.info.width, stride)]
    coords = np.array(corners, np.int32)
    sampling = Sampling(patch, level, read, round(read * downsample), stride, 0.5)
    return PatchGrid(coords, np.ones(len(coords), np.float32), sampling)


def assert_same_as_reader(slide: Slide, grid: PatchGrid) -> str:
    """Every row once, every byte as ``read_patch`` gives it; returns the path that was taken."""
    seen = []
    with open_stream(slide, grid, batch_size=7, workers=2) as stream:
        for batch in stream:
            seen += batch.rows.tolist()
            for row, patch in zip(batch.rows, batch.patches, strict=True):
                x, y = grid.coords[row].tolist()
                expected = read_patch(slide, x, y, grid.sampling)
                assert np.array_equal(patch, expected), f"row {row} at {grid.coords[row]}"
    assert sorted(seen) == list(range(len(grid.coords)))
    return stream.path
