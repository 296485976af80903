"""The pyramid of a TIFF: which pages are its levels, and reading windows of them tile by tile."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.advice import COPY, EXPORT, TILE
from atlaspatch_core.slides.readers.blocks import MOST_BLOCK_BYTES, Blocks
from atlaspatch_core.slides.readers.windows import Window
from atlaspatch_core.slides.slide import Level, stem_of
from atlaspatch_core.slides.tiles.codecs import Decode, decoders
from atlaspatch_core.slides.tiles.layout import TiledLevel, tiled_level

RAW_STRIP_BYTES = 2**20
"""What is read at once of pixels that are not compressed and lie in strips."""
COMPRESSION_NAMES = {
    50000: "Zstandard", 34926: "Zstandard", 34925: "LZMA", 34887: "LERC", 52546: "JPEG XL", 50002: "JPEG XL",
}  # fmt: skip


def find_levels(path: Path, tiff: tifffile.TiffFile) -> tuple[list[tifffile.TiffPage], list[TiledLevel]]:
    """Return the page and the tiles of each level, finest first.

    The pyramid is the largest image of the file, and what has its proportions: SubIFDs (OME-TIFF), pages that are
    marked as reduced, tiled pages of Aperio (its thumbnail is in strips).
    Of several time points the first is taken, of several focal planes the middle one.
    Raises UnreadableSlide for pixels that cannot be shown rightly, or are not there.
    """
    check_chain(path, tiff)
    series = max(tiff.series, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
    full = page_of(path, tiff, series)
    by_size = {page.imagewidth: page for page in candidates(tiff, full) if is_reduction(page, full)}
    pages = [full, *(by_size[width] for width in sorted(by_size, reverse=True))]
    for page in pages:
        check_page(path, page)
    return pages, [stored_level(path, page) for page in pages]


def check_chain(path: Path, tiff: tifffile.TiffFile) -> None:
    """Raise UnreadableSlide where the list of pages breaks off, which tifffile passes over."""
    if not len(tiff.pages):
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is cut short: its pages lie beyond its end; {COPY}")
    kind, file, last = tiff.tiff, tiff.filehandle, tiff.pages[-1].offset
    file.seek(last)
    (tags,) = struct.unpack(kind.tagnoformat, file.read(kind.tagnosize))
    file.seek(last + kind.tagnosize + tags * kind.tagsize)
    (following,) = struct.unpack(kind.offsetformat, file.read(kind.offsetsize))
    reductions = [offset for page in tiff.pages for offset in page.aspage().subifds or ()]
    is_broken = following and following not in {page.offset for page in tiff.pages}
    if is_broken or max(reductions, default=0) >= path.stat().st_size:
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is cut short: pages are missing at its end; {COPY}")


def page_of(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> tifffile.TiffPage:
    """Return the one page of a level that is shown. Raises UnreadableSlide for channels that are pages of their own."""
    sizes = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    if series.keyframe.planarconfig != 1 and series.keyframe.samplesperpixel > 1:
        sizes = []
    channels = dict(sizes).get("C", 1)
    if channels > 1:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} keeps {channels} channels apart, as fluorescence does; only RGB or grey can "
            f"be shown, so merge them (Bio-Formats: `bfconvert -merge`) or export it as RGB"
        )
    shape = [size for _, size in sizes]
    chosen = [size // 2 if axis == "Z" else 0 for axis, size in sizes]
    number = int(np.ravel_multi_index(chosen, shape)) if shape else 0
    page = series.pages[number] if number < len(series.pages) else None
    if page is None:
        raise UnreadableSlide(f"{stem_of(path)}: page {number} of {path.name} is not stored; {COPY}")
    page = page.aspage()
    if page.parent is not tiff:
        raise UnreadableSlide(
            f"{stem_of(path)}: the pixels of {path.name} lie in {page.parent.filename}; name that file, or export the "
            f"slide as one file"
        )
    return page


def candidates(tiff: tifffile.TiffFile, full: tifffile.TiffPage) -> Iterator[tifffile.TiffPage]:
    """Yield the pages that may be coarser levels of ``full``."""
    yield from (page.aspage() for page in full.pages or ())
    pages = (page.aspage() for page in tiff.pages)
    yield from (page for page in pages if page.is_reduced or (tiff.is_svs and page.is_tiled))


def is_reduction(page: tifffile.TiffPage, full: tifffile.TiffPage) -> bool:
    """Whether a page has the proportions of level 0, but for rounding, and not more pixels."""
    across, down = full.imagewidth / page.imagewidth, full.imagelength / page.imagelength
    return across > 1 and abs(across - down) <= max(across, down) / min(page.imagewidth, page.imagelength)


def check_page(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide for pixels that cannot be shown rightly, decoded, or held, and for a file that is cut."""
    stem = stem_of(path)
    if not (page.imagewidth and page.imagelength and page.dataoffsets):
        raise UnreadableSlide(f"{stem}: {path.name} is cut short or damaged: a page of it has no pixels; {COPY}")
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise UnreadableSlide(f"{stem}: {path.name} has {compression_name(page)}, which no reader decodes; {EXPORT}")
    if not decoders(page) or page.tiledepth != 1 or page.imagedepth != 1:
        raise UnreadableSlide(
            f"{stem}: {path.name} has {page.samplesperpixel} × {page.bitspersample}-bit samples a pixel "
            f"({photometric_name(page)}, {'planes apart' if page.planarconfig != 1 else compression_name(page)}); only "
            f"8-bit RGB and grey can be shown as they are; {EXPORT}"
        )
    ends = np.array(page.dataoffsets, np.int64) + np.array(page.databytecounts, np.int64)
    size = path.stat().st_size
    if ends.size == 0 or ends.max() > size:
        raise UnreadableSlide(
            f"{stem}: {path.name} is cut short: pixels lie up to byte {ends.max(initial=0):,}, it has {size:,}; {COPY}"
        )


def photometric_name(page: tifffile.TiffPage) -> str:
    """Return how the page says that its samples are meant."""
    return getattr(page.photometric, "name", str(page.photometric))


def compression_name(page: tifffile.TiffPage) -> str:
    """Return what to call the compression of a page."""
    number = int(page.compression)
    name = COMPRESSION_NAMES.get(number) or getattr(page.compression, "name", "")
    return f"TIFF compression {number} ({name})" if name else f"TIFF compression {number}"


def stored_level(path: Path, page: tifffile.TiffPage) -> TiledLevel:
    """Return the tiles of a page, or its strips as tiles of the page's width."""
    if page.is_tiled:
        tiled = tiled_level(path, Level(page.imagewidth, page.imagelength, 1.0), page)
    elif page.is_memmappable:
        tiled = raw_strips(path, page)
    else:
        tiled = strips(path, page)
    if tiled.tile_width * tiled.tile_height * 3 > MOST_BLOCK_BYTES:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} stores {tiled.tile_width} × {tiled.tile_height} px in one piece, which "
            f"every read would decode (at most {MOST_BLOCK_BYTES:,} bytes); {TILE}"
        )
    return tiled


def strips(path: Path, page: tifffile.TiffPage) -> TiledLevel:
    """Return compressed strips as tiles."""
    rows = min(page.rowsperstrip, page.imagelength)
    return one_column(path, page, rows, page.dataoffsets, page.databytecounts, decoders(page))


def raw_strips(path: Path, page: tifffile.TiffPage) -> TiledLevel:
    """Return pixels that lie in the file row by row as strips of our own size: in the file they often are one strip."""
    row_bytes = page.imagewidth * page.samplesperpixel
    rows = min(page.imagelength, max(1, RAW_STRIP_BYTES // row_bytes))
    firsts = np.arange(0, page.imagelength, rows)
    byte_counts = np.minimum(rows, page.imagelength - firsts) * row_bytes
    return one_column(path, page, rows, page.dataoffsets[0] + firsts * row_bytes, byte_counts, decoders(page, raw=True))


def one_column(
    path: Path,
    page: tifffile.TiffPage,
    rows: int,
    offsets: ArrayLike,
    byte_counts: ArrayLike,
    decode: tuple[Decode, ...],
) -> TiledLevel:
    """Return a level of tiles as wide as the page and ``rows`` px high."""
    return TiledLevel(
        path=path,
        width=page.imagewidth,
        height=page.imagelength,
        padded=False,
        tile_width=page.imagewidth,
        tile_height=rows,
        offsets=np.array(offsets, np.int64)[:, np.newaxis],
        byte_counts=np.array(byte_counts, np.int64)[:, np.newaxis],
        decoders=decode,
    )


@final
class StoredTiles:
    """Reads windows of levels tile by tile. Safe from several threads. Owns the open file: close it."""

    def __init__(self, path: Path, levels: list[TiledLevel]) -> None:
        self._levels = levels
        self._file = os.open(path, os.O_RDONLY)
        self._blocks = Blocks([(level.tile_width, level.tile_height) for level in levels], self._decoded)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3); tiles that are not stored are white."""
        return self._blocks.read(window)

    def close(self) -> None:
        """Release the file and the tiles."""
        self._blocks.forget()
        os.close(self._file)

    def _decoded(self, number: int, row: int, column: int) -> NDArray[np.uint8] | None:
        """Return the RGB pixels of a tile, or None where none is stored."""
        level = self._levels[number]
        byte_count = int(level.byte_counts[row, column])
        if byte_count == 0:
            return None
        data = os.pread(self._file, byte_count, int(level.offsets[row, column]))
        out = np.full((level.tile_height, level.tile_width, 3), 255, np.uint8)
        *firsts, last = level.decoders
        for decode in firsts:
            try:
                decode(data, row * level.offsets.shape[1] + column, out)
            except (ValueError, RuntimeError):
                continue  # the next way in which the tiles may be meant
            return out
        last(data, row * level.offsets.shape[1] + column, out)
        return out
