"""A slide whose pixels are not square, read as if they were: averaged to squares of the longer side."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.windows import nearest
from atlaspatch_core.slides.slide import Bounds, Level, Region, Slide, SlideInfo

AS_STORED = (1.0, 1.0)
"""px of the file on a level-0 px of a slide that is read as it is."""
PARTS = 2**16
"""Parts of a px that borders are rounded to, so that sums are whole numbers: a px is the same in every region."""


def with_square_pixels(slide: Slide) -> Slide:
    """Return a slide of square pixels; its ``file_px`` says of how many px of the file each is, along x and y.

    Every level becomes as much smaller as level 0, along the axis on which its pixels are shorter; no px is made up.
    """
    info = slide.info
    across, down = info.file_px
    levels = tuple(
        replace(level, width=max(1, int(level.width / across)), height=max(1, int(level.height / down)))
        for level in info.levels
    )
    sides = f"{info.mpp / across:.6g} × {info.mpp / down:.6g} µm"
    reading = "; ".join(filter(None, [info.reading, f"pixels of {sides} made square"]))
    note = (
        f"its pixels of {sides} are read as squares of {info.mpp:.6g} µm: a level-0 px is {across:.6g} × {down:.6g} px "
        f"of the file"
    )
    squared = replace(
        info,
        levels=levels,
        file_levels=info.levels,
        bounds=info.bounds and squared_bounds(info.bounds, across, down),
        reading=reading,
        notes=(*info.notes, note),
    )
    return SquarePixels(slide, squared)


def squared_bounds(bounds: Bounds, across: float, down: float) -> Bounds:
    """Return bounds in square px, rounded."""
    return Bounds(
        round(bounds.x / across), round(bounds.y / down), round(bounds.width / across), round(bounds.height / down)
    )


@dataclass(frozen=True, slots=True)
class _Borders:
    """Borders between px of the slide along one axis, in 1/65536 px of the file."""

    parts: NDArray[np.int64]
    """Shape (n + 1,): ascending."""

    @property
    def first(self) -> int:
        """First px of the file that is wanted."""
        return int(self.parts[0] // PARTS)

    @property
    def count(self) -> int:
        """How many are."""
        return int(-(-self.parts[-1] // PARTS)) - self.first


@final
class SquarePixels(Slide):
    """A slide of which a reader shows oblong pixels. Owns that slide."""

    def __init__(self, slide: Slide, info: SlideInfo) -> None:
        self._slide = slide
        self._info = info

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide, in square px."""
        return self._info

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3), each the mean of what it covers; white outside the slide."""
        level, (across, down) = self._info.levels[region.level], self._info.file_px
        columns = borders(nearest(region.x, level.downsamples[0]), region.width, across)
        rows = borders(nearest(region.y, level.downsamples[1]), region.height, down)
        pixels = self._slide.read_region(_of_file(level, region.level, columns, rows))
        return averaged(averaged(pixels, columns, 1), rows, 0)

    def close(self) -> None:
        """Release the file."""
        self._slide.close()


def borders(first: int, count: int, px: float) -> _Borders:
    """Return the borders of ``count`` px from ``first`` on, each ``px`` px of the file wide."""
    return _Borders(np.rint(np.arange(first, first + count + 1) * (px * PARTS)).astype(np.int64))


def _of_file(level: Level, number: int, columns: _Borders, rows: _Borders) -> Region:
    """Return the region of the file that holds what lies between borders."""
    across, down = level.downsamples
    return Region(round(columns.first * across), round(rows.first * down), number, columns.count, rows.count)


def averaged(pixels: NDArray[np.uint8], border: _Borders, axis: int) -> NDArray[np.uint8]:
    """Return the mean colours between borders along an axis, rounded to the nearest value."""
    widths = np.diff(border.parts)
    if (widths == PARTS).all() and border.parts[0] % PARTS == 0:
        return pixels
    lines = np.moveaxis(pixels, axis, 0).astype(np.int64)
    whole, part = np.divmod(border.parts - border.first * PARTS, PARTS)
    sums = np.zeros((len(lines) + 1, *lines.shape[1:]), np.int64)
    np.cumsum(lines, axis=0, out=sums[1:])
    shape = (-1, *[1] * (lines.ndim - 1))
    up_to = sums[whole] * PARTS + part.reshape(shape) * lines[np.minimum(whole, len(lines) - 1)]
    share = widths.reshape(shape)
    means = (np.diff(up_to, axis=0) + share // 2) // share
    return np.ascontiguousarray(np.moveaxis(means.astype(np.uint8), 0, axis))
