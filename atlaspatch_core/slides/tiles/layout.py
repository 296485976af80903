"""Where the tiles of a level lie in the file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Level
from atlaspatch_core.slides.tiles.codecs import CHECKS, Decode, decoders, jpeg_head


@dataclass(frozen=True, slots=True, eq=False)
class TiledLevel:
    """One resolution of a tiled TIFF: equal tiles side by side from (0, 0), decoded to 8-bit RGB."""

    path: Path
    width: int
    """px of the level that slide and file agree on."""
    height: int
    """px of the level that slide and file agree on."""
    padded: bool
    """The file stores more px than the level has (Philips fills up its last tiles)."""
    tile_width: int
    tile_height: int
    offsets: NDArray[np.int64]
    """Shape (tile rows, tile columns): where each tile begins in the file, bytes."""
    byte_counts: NDArray[np.int64]
    """Shape (tile rows, tile columns): its length, bytes; 0 where no tile is stored."""
    decoders: tuple[Decode, ...]
    """Ways in which the tiles may be meant, likeliest first; never empty."""
    jpeg_head: bytes | None = None
    """What makes a JPEG file of a tile, put in place of its first two bytes; None where tiles are no JPEG."""
    check: Callable[[bytes], None] | None = None
    """Raises ValueError for a damaged tile without decoding it; None where the decoder tells."""

    def tile_name(self, tile: int) -> str:
        """Return what to call the tile of a number: its row and column, from 0, and where it lies, px of the level."""
        row, column = divmod(tile, self.offsets.shape[1])
        place = f"({column * self.tile_width}, {row * self.tile_height})"
        return f"the stored tile in row {row}, column {column}, which begins at {place} px of its level"


def find_tiled_level(path: Path, level: Level) -> TiledLevel | None:
    """Return where the tiles of ``level`` lie, or None where the file is no TIFF of 8-bit RGB tiles."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = _page_of(level, tiff)
            return None if page is None else tiled_level(path, level, page)
    except (ValueError, IndexError, KeyError, OSError):  # not a TIFF, or one that tifffile cannot follow
        return None


def _page_of(level: Level, tiff: tifffile.TiffFile) -> tifffile.TiffPage | None:
    """Return the first tiled page of the level's size; or else the first that exceeds it by less than a tile."""
    nearly = None
    for page in all_pages(tiff):
        right, bottom = page.imagewidth - level.width, page.imagelength - level.height
        if not page.is_tiled or page.tiledepth != 1 or not decoders(page):
            continue
        if right == bottom == 0:
            return page
        if nearly is None and 0 <= right < page.tilewidth and 0 <= bottom < page.tilelength:
            nearly = page
    return nearly


def all_pages(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """Yield every page and, after it, its reduced resolutions (OME-TIFF keeps them in SubIFDs)."""
    for page in tiff.pages:
        full = page if isinstance(page, tifffile.TiffPage) else page.aspage()
        yield full
        yield from (reduced for reduced in full.pages or () if isinstance(reduced, tifffile.TiffPage))


def tiled_level(path: Path, level: Level, page: tifffile.TiffPage) -> TiledLevel:
    """Return the tiles of a tiled page; raise ValueError where their number does not fit its size."""
    shape = -(-page.imagelength // page.tilelength), -(-page.imagewidth // page.tilewidth)
    return TiledLevel(
        path=path,
        width=level.width,
        height=level.height,
        padded=(page.imagewidth, page.imagelength) != (level.width, level.height),
        tile_width=page.tilewidth,
        tile_height=page.tilelength,
        offsets=np.array(page.dataoffsets, np.int64).reshape(shape),
        byte_counts=np.array(page.databytecounts, np.int64).reshape(shape),
        decoders=decoders(page),
        jpeg_head=jpeg_head(page),
        check=CHECKS.get(page.compression),
    )
