"""A scan of which tiles are not stored. Nothing of the product is used."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import tifffile
from paint import TILE, Page, Pyramid, forget_frames, paint_scan, shrink, write_pages, write_series

WIDTH, HEIGHT = 1024, 768
SCAN = paint_scan(WIDTH, HEIGHT, 4)
COLUMNS, ROWS = WIDTH // TILE, HEIGHT // TILE
TISSUE = SCAN.min(axis=2) < 240
"""An ellipse in the middle."""


def tile_is(row: int, column: int, least: float) -> bool:
    """Tell whether a tile holds at least that share of tissue."""
    return TISSUE[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE].mean() >= least


ALL = [(row, column) for row in range(ROWS) for column in range(COLUMNS)]
DEEP = [
    (row, column)
    for row, column in ALL
    if all(0 <= row + down < ROWS and 0 <= column + right < COLUMNS and tile_is(row + down, column + right, 1)
           for down in (-1, 0, 1) for right in (-1, 0, 1))
]  # fmt: skip
GLASS = [place for place in ALL if not tile_is(*place, 0.001)]


def write_sparse(path: Path, absent: set[tuple[int, int]]) -> Path:
    """Write two levels, and forget where some tiles of the first lie."""
    write_pages(path, [Page(SCAN), Page(shrink(SCAN, 4), reduced=True)])
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages.first.tags[name]
            tag.overwrite([0 if divmod(number, COLUMNS) in absent else value for number, value in enumerate(tag.value)])
    return path


def write_sparse_series(path: Path, absent: set[tuple[int, int]], shuffle: int | None = None) -> Path:
    """Write a DICOM series of two levels, the first without some frames."""
    shutil.copytree(Path(whole_series().name, "a"), path)
    forget_frames(path / "0-1.dcm", absent, shuffle)
    return path


@cache
def whole_series() -> tempfile.TemporaryDirectory[str]:
    """Write the series with all its frames, once: encoding it takes longer than what is tested on it."""
    folder = tempfile.TemporaryDirectory()
    write_series(Path(folder.name) / "a", [Pyramid((SCAN,), (0, 0), None, (1, 4))])
    return folder
