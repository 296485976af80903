"""Big slides to measure with, made of the real pixels of the bundled slide."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Region

SOURCE = Path(__file__).parents[1] / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"
TILE = 256
"""px"""
QUALITY = 75
TISSUE_REACH = 0.35
"""Semi-axes of the ellipse of tissue, share of the slide's sides: 38 % of the slide is tissue."""
TISSUE_AT = (720, 1936, 4, 4)
"""x, y of the top-left corner, and tiles across and down, of dense tissue in the bundled slide."""
GLASS_AT = (0, 0)
"""x, y of a tile of empty glass in the bundled slide."""


def make_slide(path: Path, width: int, height: int, *, magnification: int = 20) -> Path:
    """Write a pyramidal Aperio slide (JPEG 4:2:0 in 256-px tiles; levels 1, 4, 16), and return ``path``.

    Real tiles of tissue, 16 in number, lie in a seeded order inside an ellipse; outside is real glass.
    """
    microns = 0.499 * 20 / magnification
    description = f"Aperio Image Library v11.2.1\r\n{width}x{height}|AppMag = {magnification}|MPP = {microns:g}"
    kinds = lay_tiles(-(-width // TILE), -(-height // TILE))
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for downsample in (1, 4, 16):
            across, down = width // downsample, height // downsample
            writer.write(
                encoded_tiles(kinds, downsample, across, down), shape=(down, across, 3), dtype="uint8",
                tile=(TILE, TILE), photometric="ycbcr", subsampling=(2, 2), compression="jpeg",
                description=description, software=False, metadata=None,
            )  # fmt: skip
    return path


def recompressed(path: Path, source: Path, compression: str | int) -> Path:
    """Write the finest level of a slide in 256-px tiles of another compression, and return ``path``."""
    pixels = tifffile.imread(source, key=0)
    height, width = pixels.shape[:2]
    aperio = f"Aperio Image Library v11.2.1\r\n{width}x{height}|AppMag = 20|MPP = 0.499"
    tifffile.imwrite(
        path, pixels, tile=(TILE, TILE), photometric="rgb", compression=compression, metadata=None, software=False,
        description=aperio if path.suffix == ".svs" else None, resolution=(1e4 / 0.499,) * 2,
        resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


def tissue_corners(width: int, height: int, step: int, side: int) -> NDArray[np.int32]:
    """Return corners (n, 2) of the squares of ``side`` px, every ``step`` px, whose middle lies in the tissue."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, width, step), np.arange(0, height, step)))
    inside = in_tissue((x + side / 2) / width, (y + side / 2) / height)
    return np.stack([x, y], axis=1)[inside].astype(np.int32)


def in_tissue(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which places, as shares of the slide's width and height, lie in the ellipse of tissue."""
    return (x - 0.5) ** 2 + (y - 0.5) ** 2 < TISSUE_REACH**2


def lay_tiles(columns: int, rows: int) -> NDArray[np.int64]:
    """Return (rows, columns): which real tile lies where; 0 is glass."""
    kinds = np.random.default_rng(0).integers(1, len(real_tiles()), (rows, columns))
    y, x = np.mgrid[:rows, :columns]
    return np.where(in_tissue((x + 0.5) / columns, (y + 0.5) / rows), kinds, 0)


@cache
def real_tiles() -> NDArray[np.uint8]:
    """Return glass and then tissue, shape (n, TILE, TILE, 3)."""
    left, top, across, down = TISSUE_AT
    with open_slide(SOURCE) as slide:
        glass = slide.read_region(Region(*GLASS_AT, 0, TILE, TILE))
        tissue = slide.read_region(Region(left, top, 0, across * TILE, down * TILE))
    tiles = tissue.reshape(down, TILE, across, TILE, 3).swapaxes(1, 2).reshape(-1, TILE, TILE, 3)
    return np.concatenate([glass[None], tiles])


def encoded_tiles(kinds: NDArray[np.int64], downsample: int, width: int, height: int) -> Iterator[bytes]:
    """Yield the JPEGs of one level, row by row; equal tiles are encoded once."""
    side = TILE // downsample
    small = np.stack([cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA) for tile in real_tiles()])
    known: dict[bytes, bytes] = {}
    for row in range(-(-height // TILE)):
        for column in range(-(-width // TILE)):
            under = kinds[row * downsample : (row + 1) * downsample, column * downsample : (column + 1) * downsample]
            key = under.tobytes() + bytes(under.shape)
            if key not in known:
                known[key] = encode(small[under])
            yield known[key]


def encode(pieces: NDArray[np.uint8]) -> bytes:
    """Return the JPEG of one tile out of its pieces, shape (rows, columns, side, side, 3); white where they end."""
    rows, columns, side = pieces.shape[:3]
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    tile[: rows * side, : columns * side] = pieces.swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return bytes(
        imagecodecs.jpeg8_encode(tile, level=QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="420")
    )
