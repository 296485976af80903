"""The legend of a picture of patches: what was cut, what the colours mean, and how long a millimetre is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.grid_cells import FILL_OPACITY, UNKNOWN, share_colours
from atlaspatch_core.pipeline.grid_view import GridView
from atlaspatch_core.slides.slide import SlideInfo

WIDTH, LINE, MARGIN, BAR = 430, 20, 10, 220
"""px of a legend, a line, its margin and its bars at zoom 1."""
INK = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Sheet:
    """White paper to write on, in px of zoom 1."""

    pixels: NDArray[np.uint8]
    zoom: float

    def write(self, text: str, x: float, y: float) -> None:
        """Write ASCII text whose baseline begins at x, y."""
        thickness = max(1, round(self.zoom))
        where, scale = self.px(x, y), 0.45 * self.zoom
        cv2.putText(self.pixels, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)

    def paint(self, x0: float, y0: float, x1: float, y1: float, colour: Sequence[int]) -> None:
        """Fill a rectangle."""
        (left, top), (right, bottom) = self.px(x0, y0), self.px(x1, y1)
        self.pixels[top : max(top + 1, bottom), left : max(left + 1, right)] = colour

    def px(self, x: float, y: float) -> tuple[int, int]:
        """Return px of the paper."""
        return round(x * self.zoom), round(y * self.zoom)


def draw_legend(grid: PatchGrid, info: SlideInfo, view: GridView) -> NDArray[np.uint8]:
    """Return the legend, RGB, shape (height, width, 3); letters grow with the picture, up to three times."""
    zoom = min(3.0, max(1.0, (view.width * view.height) ** 0.5 / 1024))
    lines = legend_lines(grid, info, view)
    height = round((2 * MARGIN + LINE * (len(lines) + 5)) * zoom)
    sheet = Sheet(np.full((height, round(WIDTH * zoom), 3), 255, np.uint8), zoom)
    for index, line in enumerate(lines):
        sheet.write(line, MARGIN, MARGIN + LINE * (index + 0.75))
    _draw_colours(sheet, MARGIN + LINE * len(lines), is_known=not np.isnan(grid.tissue_fraction).any())
    _draw_length(sheet, MARGIN + LINE * (len(lines) + 3), info.mpp / view.factor)
    return sheet.pixels


def legend_lines(grid: PatchGrid, info: SlideInfo, view: GridView) -> list[str]:
    """Return the facts about a slide's patches, and what the picture leaves out."""
    sampling = grid.sampling
    lines = [
        f"patches {len(grid)}",
        f"slide {info.width} x {info.height} px, {info.mpp:.4g} um/px",
        f"patch {sampling.patch_size} px at {sampling.mpp:.4g} um/px",
        f"step {sampling.step_size_level0} px of level 0",
    ]
    if sampling.step_size_level0 < sampling.patch_size_level0:
        lines.append("patches overlap: a cell is the middle of one")
    return [*lines, *_left_out(grid, view)] if view.is_clipped else lines


def _left_out(grid: PatchGrid, view: GridView) -> list[str]:
    across, down = (round(side / view.factor) for side in (view.width, view.height))
    return [
        f"part of the slide, with {len(view.rows)} of {len(grid)} patches:",
        f"{across} x {down} px from x {round(view.left)}, y {round(view.top)}",
    ]


def _draw_colours(sheet: Sheet, top: float, *, is_known: bool) -> None:
    """Draw the colours with their shares, as they are before the slide shines through."""
    colours = share_colours().tolist()
    sheet.write(f"colour ({FILL_OPACITY:.0%} opaque): tissue share of a patch", MARGIN, top + LINE * 0.75)
    for code in range(101):
        x = MARGIN + BAR * code / 101
        sheet.paint(x, top + LINE, x + BAR / 101, top + LINE * 1.7, colours[code + 1])
    for share, x in ((0, 0), (50, BAR / 2 - 12), (100, BAR - 24)):
        sheet.write(f"{share} %", MARGIN + x, top + LINE * 2.5)
    if not is_known:
        left = 2 * MARGIN + BAR + LINE
        sheet.paint(left, top + LINE, left + LINE, top + LINE * 1.7, colours[UNKNOWN])
        sheet.write("not measured", left + LINE * 1.4, top + LINE * 1.65)


def _draw_length(sheet: Sheet, top: float, um: float) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten µm, where ``um`` µm are a px."""
    length = nice_length(BAR * sheet.zoom * um)
    across = length / um / sheet.zoom
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} um"
    sheet.paint(MARGIN, top + LINE * 0.6, MARGIN + across, top + LINE * 0.8, INK)
    sheet.write(text, MARGIN, top + LINE * 1.6)


def nice_length(most: float) -> float:
    """Return the longest of 1, 2, 5 times a power of ten that is not above ``most``, in its unit."""
    power = 10.0 ** floor(log10(most))
    return max(step * power for step in (1, 2, 5) if step == 1 or step * power <= most)
