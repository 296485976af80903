"""Patches with the highest and the lowest numbers, side by side."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.scores.colours import as_texts
from atlaspatch_core.interop.scores.legend import BLACK, FONT, fitting
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.stream import stream_patches
from atlaspatch_core.slides.slide import Slide

SIDE, LINE, GAP = 224, 20, 8
"""Px of a patch, of the line below it, and between patches."""
MOST_COLUMNS = 8
BATCH = 32


def extreme_rows(scores: NDArray[np.float64], top: int, bottom: int = 0) -> tuple[list[int], list[int]]:
    """Return the rows with the highest scores, highest first, and with the lowest, lowest first; none is in both.

    Of equal scores the first rows come first.
    """
    scored = np.flatnonzero(np.isfinite(scores))
    highest = scored[np.argsort(-scores[scored], kind="stable")][:top]
    rest = np.setdiff1d(scored, highest)
    return highest.tolist(), rest[np.argsort(scores[rest], kind="stable")][:bottom].tolist()


def contact_sheet(
    slide: Slide, grid: PatchGrid, scores: NDArray[np.float64], groups: Sequence[Sequence[int]]
) -> NDArray[np.uint8]:
    """Return patches of these rows in reading order, RGB (height, width, 3), with score and place below each.

    Each group of rows begins a new line. Raises UnreadableSlide where their px cannot be decoded.
    """
    rows = [row for group in groups for row in group]
    lines = [group[at : at + MOST_COLUMNS] for group in groups for at in range(0, len(group), MOST_COLUMNS)]
    columns = max(map(len, lines), default=1)
    cell = SIDE + LINE + GAP
    sheet = np.full((len(lines) * cell + GAP, columns * (SIDE + GAP) + GAP, 3), 255, np.uint8)
    pixels, shown = read_rows(slide, grid, rows), dict(zip(rows, as_texts(scores[rows].tolist()), strict=True))
    for down, line in enumerate(lines):
        for across, row in enumerate(line):
            place = GAP + down * cell, GAP + across * (SIDE + GAP)
            x, y = grid.coords[row].tolist()
            _draw(sheet, place, pixels[row], f"{shown[row]}  row {row} at {x}, {y}")
    return sheet


def _draw(sheet: NDArray[np.uint8], place: tuple[int, int], pixels: NDArray[np.uint8], text: str) -> None:
    top, left = place
    sheet[top : top + SIDE, left : left + SIDE] = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    cv2.putText(sheet, fitting(text, SIDE, 0.4), (left, top + SIDE + LINE - 6), FONT, 0.4, BLACK, 1, cv2.LINE_AA)


def read_rows(slide: Slide, grid: PatchGrid, rows: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """Return the px of some patches by their rows, RGB (patch_size, patch_size, 3)."""
    some = replace(grid, coords=grid.coords[list(rows)], tissue_fraction=grid.tissue_fraction[list(rows)])
    return {
        rows[number]: patch.copy()
        for batch in stream_patches(slide, some, batch_size=BATCH, workers=1)
        for number, patch in zip(batch.rows.tolist(), batch.patches, strict=True)
    }
