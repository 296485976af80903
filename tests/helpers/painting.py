"""Paint small slides for tests: real tiled, pyramidal files that OpenSlide opens."""

import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

TISSUE_COLOUR = (200, 80, 150)
"""RGB of flat stain: saturated, far from white, black and pen."""


SQUARE = 2048
"""px of level 0 that one colour fills on slides of any size."""


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


def paint_glass(
    path: Path, width: int, height: int, *, mpp: float, levels: tuple[float, ...], seed: int | None = None
) -> Path:
    """Write an Aperio slide of any size in little time, and return ``path``: white, or with a ``seed`` of colours."""
    squares = -(-height // SQUARE), -(-width // SQUARE), 3
    colours = white(1, 1) if seed is None else np.random.default_rng(seed).integers(0, 256, squares, np.uint8)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for downsample in levels:
            across, down = round(width / downsample), round(height / downsample)
            writer.write(
                deflated_tiles(colours, across, down, downsample),
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


def deflated_tiles(colours: NDArray[np.uint8], across: int, down: int, downsample: float) -> Iterator[bytes]:
    """Yield the tiles of a level, row by row; ``colours`` (rows, columns, 3) are those of its squares."""

    @cache
    def deflate(row: int, column: int) -> bytes:
        return zlib.compress(colours[row, column].tobytes() * 512 * 512)

    for top in range(0, down, 512):
        rows = squares_at(top, downsample, len(colours))
        for left in range(0, across, 512):
            columns = squares_at(left, downsample, colours.shape[1])
            is_flat = rows[0] == rows[-1] and columns[0] == columns[-1]
            yield deflate(rows[0], columns[0]) if is_flat else zlib.compress(colours[np.ix_(rows, columns)].tobytes())


def squares_at(start: int, downsample: float, count: int) -> NDArray[np.int64]:
    """Return in which square each of 512 px of a level lies."""
    return np.minimum(((np.arange(start, start + 512) + 0.5) * downsample // SQUARE).astype(int), count - 1)


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
