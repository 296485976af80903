"""What the product shows of a file, through its own door, to be held against what was painted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from paint import LOSSLESS, difference

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides import Region, open_slide


@dataclass(frozen=True)
class Shown:
    """A slide that was read, or why it was refused."""

    levels: tuple[NDArray[np.uint8], ...] = ()
    notes: str = ""
    reader: str = ""
    refusal: str = ""


def show(path: Path, **options: Any) -> Shown:
    """Read all levels of a slide, whole."""
    try:
        with open_slide(path, mpp=0.5, **options) as slide:
            sides = [(number, level.width, level.height) for number, level in enumerate(slide.info.levels)]
            levels = tuple(slide.read_region(Region(0, 0, number, *size)) for number, *size in sides)
            return Shown(levels, "; ".join(slide.info.notes), slide.info.reader)
    except UnreadableSlide as refusal:
        return Shown(refusal=str(refusal))


def assert_shows(shown: Shown, scan: NDArray[Any], tolerance: float = LOSSLESS) -> None:
    """Assert that level 0 is the scan, and that every level is the scan, smaller."""
    assert not shown.refusal
    for level in shown.levels:
        height, width = level.shape[:2]
        assert abs(height - scan.shape[0] * width / scan.shape[1]) < 2, level.shape
        smaller = np.asarray(cv2.resize(scan, (width, height), interpolation=cv2.INTER_AREA))
        assert difference(level, smaller) <= max(tolerance, LOSSLESS if level is shown.levels[0] else 4.0)
    assert shown.levels[0].shape == scan.shape


def assert_names(shown: Shown, sizes: Sequence[tuple[int, int]]) -> None:
    """Assert that each image of these sizes, width and height, is named, and that none is where there are none."""
    for width, height in sizes:
        assert f"{width} × {height} px" in shown.notes, shown.notes
    named = any(words in shown.notes for words in ("images", "shows another picture", "has other proportions"))
    assert bool(sizes) == named, shown.notes
