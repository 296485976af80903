"""A heat map over its slide: as a picture with a legend, and as a pyramid that QuPath lays where the slide lies."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.scores.colours import ColourScale
from atlaspatch_core.interop.scores.heat import HeatMap
from atlaspatch_core.slides.slide import SlideInfo

TILE = 256
Picture = NDArray[np.uint8]
"""Shape (height, width, 3), RGB; covers the whole slide, but where it is cropped."""


def draw_heat(picture: Picture, heat: HeatMap, scale: ColourScale, opacity: float) -> Picture:
    """Return a picture of the slide, as large as the heat map, with its colours over it; blank px show the slide."""
    overlay = picture.copy()
    for row, values in zip(overlay, heat.values, strict=True):
        inside = np.isfinite(values)
        mixed = (1 - opacity) * row[inside] + opacity * scale.colours(values[inside])
        row[inside] = np.round(mixed).astype(np.uint8)
    return overlay


def cropped(picture: Picture, info: SlideInfo) -> Picture:
    """Return what lies within the slide's bounds, to the nearest px and at least one; all where it has none."""
    if info.bounds is None:
        return picture
    (height, width), bounds = picture.shape[:2], info.bounds
    across, down = width / info.width, height / info.height
    left, top = min(width - 1, round(bounds.x * across)), min(height - 1, round(bounds.y * down))
    right, bottom = round((bounds.x + bounds.width) * across), round((bounds.y + bounds.height) * down)
    return np.ascontiguousarray(picture[top : max(top + 1, bottom), left : max(left + 1, right)])


def write_ome_tiff(path: Path, picture: Picture, mpp: tuple[float, float], name: str, mark: str) -> None:
    """Write a picture as pyramidal OME-TIFF; ``mpp`` is its own µm per px, along x and y.

    ``mark`` is named as the software that made it.
    """
    from tifffile import TiffWriter

    levels = [picture]
    while max(levels[-1].shape[:2]) > TILE:
        height, width = levels[-1].shape[:2]
        size = max(1, (width + 1) // 2), max(1, (height + 1) // 2)
        levels.append(np.asarray(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA), np.uint8))
    about = {"axes": "YXS", "Name": name, "PhysicalSizeX": mpp[0], "PhysicalSizeY": mpp[1]}
    about |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    per_cm = tuple(1e4 / value for value in mpp)
    with TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for number, level in enumerate(levels):
            tiff.write(
                level,
                photometric="rgb",
                software=mark,
                tile=(TILE, TILE),
                compression="zlib",
                metadata=None if number else about,
                subifds=0 if number else len(levels) - 1,
                subfiletype=1 if number else 0,
                resolution=tuple(value / 2**number for value in per_cm),
                resolutionunit="CENTIMETER",
            )
