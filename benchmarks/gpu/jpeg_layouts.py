"""The JPEG tiles that scanners commonly write, made of the real pixels of the bundled slide."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Level
from atlaspatch_core.slides.tiles.layout import TiledLevel, find_tiled_level
from benchmarks.slides import TILE, real_tiles

QUALITY = 75
TILES = 16
"""Distinct tiles of a layout."""


@dataclass(frozen=True, slots=True)
class JpegLayout:
    """How tiles are stored."""

    name: str
    side: int
    """px"""
    subsampling: str
    colours: str = "ycbcr"
    """``ycbcr``, or ``rgb`` that is stored as it is."""


LAYOUTS = (
    JpegLayout("aperio_240_422", 240, "422"),
    JpegLayout("aperio_256_rgb", 256, "444", "rgb"),
    JpegLayout("tiff_256_420", 256, "420"),
    JpegLayout("tiff_512_420", 512, "420"),
    JpegLayout("tiff_512_444", 512, "444"),
    JpegLayout("tiff_1024_420", 1024, "420"),
)
SUBSAMPLING = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}
"""As the tag YCbCrSubSampling has it."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredJpegs:
    """Tiles of a layout, as they lie in a file."""

    level: TiledLevel
    tiles: list[bytes]

    @property
    def files(self) -> list[bytes]:
        """Return each tile as a JPEG file, with the tables and the colour space that the page states."""
        assert self.level.jpeg_head is not None
        return [self.level.jpeg_head + tile[2:] for tile in self.tiles]


def store(layout: JpegLayout, path: Path) -> StoredJpegs:
    """Write the tiles of a layout as one TIFF, and return them as they lie there."""
    pixels, side = tissue(layout.side), layout.side
    options: dict[str, Any] = {"photometric": "rgb", "compressionargs": {"outcolorspace": "rgb"}}
    if layout.colours == "ycbcr":
        options = {"photometric": "ycbcr", "subsampling": SUBSAMPLING[layout.subsampling]}
    tifffile.imwrite(
        path, (encode(tile, layout) for tile in pixels), shape=(side * len(pixels), side, 3), dtype="uint8",
        tile=(side, side), compression="jpeg", metadata=None, software=False, **options,
    )  # fmt: skip
    level = find_tiled_level(path, Level.of((side, side * len(pixels)), (side, side * len(pixels))))
    if level is None:
        raise RuntimeError(f"{path} has no tiles that can be decoded")
    with path.open("rb") as file:
        return StoredJpegs(level, [_read(file, level, number) for number in range(len(pixels))])


def _read(file: Any, level: TiledLevel, number: int) -> bytes:
    file.seek(int(level.offsets.flat[number]))
    return file.read(int(level.byte_counts.flat[number]))


def encode(tile: NDArray[np.uint8], layout: JpegLayout) -> bytes:
    """Return the JPEG of one tile."""
    return bytes(
        imagecodecs.jpeg8_encode(
            tile, level=QUALITY, colorspace="rgb", outcolorspace=layout.colours, subsampling=layout.subsampling
        )
    )


def tissue(side: int) -> NDArray[np.uint8]:
    """Return tiles of tissue, shape (16, side, side, 3), laid of the bundled slide's in a seeded order."""
    known, across = real_tiles()[1:], -(-side // TILE)
    kinds = np.random.default_rng(0).integers(0, len(known), (TILES, across, across))
    laid = known[kinds].swapaxes(2, 3).reshape(TILES, across * TILE, across * TILE, 3)
    return np.ascontiguousarray(laid[:, :side, :side])
