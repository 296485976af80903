"""Paint small slides for tests: real tiled, pyramidal files that OpenSlide opens."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

TISSUE_COLOUR = (200, 80, 150)
"""RGB of flat stain: saturated, far from white, black and pen."""


def white(width: int, height: int) -> NDArray[np.uint8]:
    """Return empty glass, shape (height, width, 3)."""
    return np.full((height, width, 3), 255, np.uint8)


def stain(
    pixels: NDArray[np.uint8], x: int, y: int, width: int, height: int, colour: tuple[int, int, int] = TISSUE_COLOUR
) -> NDArray[np.uint8]:
    """Fill a rectangle of ``pixels`` in place, and return them."""
    pixels[y : y + height, x : x + width] = colour
    return pixels


def paint_slide(
    path: Path,
    pixels_level0: NDArray[np.uint8],
    *,
    mpp: float | None = 0.5,
    levels: tuple[float, ...] = (1, 4),
    tile: int = 256,
    compression: str | None = None,
    objective_power: float | None = None,
) -> Path:
    """Write RGB ``pixels_level0`` (height, width, 3) as a tiled pyramid, and return ``path``.

    ``.svs`` becomes an Aperio slide (MPP and AppMag in its description), any other suffix a generic TIFF (resolution
    per centimetre, no magnification). ``levels`` are downsamples, finest first. No ``compression`` keeps pixels exact;
    ``"jpeg"`` is what scanners write.
    """
    aperio = path.suffix.lower() == ".svs"
    per_centimetre = None if aperio or mpp is None else (10_000 / mpp, 10_000 / mpp)
    with tifffile.TiffWriter(path) as writer:
        for index, downsample in enumerate(levels):
            writer.write(
                shrink(pixels_level0, downsample),
                photometric="rgb",
                tile=(tile, tile),
                compression=compression,
                subfiletype=1 if index and not aperio else 0,
                description=aperio_description(pixels_level0, mpp, objective_power) if aperio else None,
                resolution=per_centimetre,
                resolutionunit="CENTIMETER" if per_centimetre else None,
                software=False,
                metadata=None,
            )
    return path


def paint_glass(path: Path, width: int, height: int, *, mpp: float, levels: tuple[float, ...]) -> Path:
    """Write an Aperio slide of nothing but white, of any size in little time, and return ``path``."""
    tile = np.full((512, 512, 3), 255, np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for downsample in levels:
            across, down = round(width / downsample), round(height / downsample)
            writer.write(
                (tile for _ in range(-(-across // 512) * -(-down // 512))),
                shape=(down, across, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(512, 512),
                compression="zlib",
                description=f"Aperio Image Library v12\r\n{across}x{down}|AppMag = {10 / mpp:g}|MPP = {mpp}",
                software=False,
                metadata=None,
            )
    return path


def shrink(pixels: NDArray[np.uint8], downsample: float) -> NDArray[np.uint8]:
    """Return ``pixels`` averaged down, sides rounded to whole px."""
    height, width = pixels.shape[:2]
    size = max(1, round(width / downsample)), max(1, round(height / downsample))
    return pixels if downsample == 1 else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def aperio_description(pixels: NDArray[np.uint8], mpp: float | None, objective_power: float | None) -> str:
    """Return the text by which readers know an Aperio slide."""
    height, width = pixels.shape[:2]
    fields = [f"Aperio Image Library v11.2.1\r\n{width}x{height} [0,0 {width}x{height}] Q=90"]
    fields += [] if objective_power is None else [f"AppMag = {objective_power:g}"]
    fields += [] if mpp is None else [f"MPP = {mpp:g}"]
    return "|".join(fields)
