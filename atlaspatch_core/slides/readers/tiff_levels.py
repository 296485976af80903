"""The pyramid of a TIFF: which pages are its levels, and where their tiles lie."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import ArrayLike

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.advice import BY_OPENSLIDE, COPY, EXPORT, TILE
from atlaspatch_core.slides.readers.images import ImageChoice, other_images, section_numbers, turned_note
from atlaspatch_core.slides.readers.level_check import agreeing_levels
from atlaspatch_core.slides.readers.stored_tiles import StoredTiles
from atlaspatch_core.slides.readers.tiff_channels import check_samples
from atlaspatch_core.slides.readers.tiff_claims import check_page_claim
from atlaspatch_core.slides.readers.tiff_images import (
    TiffContents,
    TiffImage,
    find_contents,
    images_of,
    is_reduction,
)
from atlaspatch_core.slides.readers.windows import WindowedSlide, unscaled
from atlaspatch_core.slides.slide import Level, stem_of
from atlaspatch_core.slides.tiles.codecs import Decode, decoders
from atlaspatch_core.slides.tiles.layout import TiledLevel, tiled_level
from atlaspatch_core.slides.tiles.samples import UPRIGHT, alpha_of, orientation_of
from atlaspatch_core.slides.tiles.wholeness import MOST_BLOCK_BYTES

RAW_STRIP_BYTES = 2**20
"""What is read at once of pixels that are not compressed and lie in strips."""
COMPRESSION_NAMES = {
    50000: "Zstandard", 34926: "Zstandard", 34925: "LZMA", 34887: "LERC", 52546: "JPEG XL", 50002: "JPEG XL",
}  # fmt: skip
NUMBERS = (
    "imagewidth", "imagelength", "imagedepth", "tilewidth", "tilelength", "tiledepth", "rowsperstrip",
    "samplesperpixel", "photometric", "compression", "planarconfig", "predictor", "subfiletype",
)  # fmt: skip
"""Tags of one number, as tifffile calls them."""


@dataclass(frozen=True, slots=True, eq=False)
class TiffPyramid:
    """The levels of a slide in a TIFF."""

    pages: tuple[tifffile.TiffPage, ...]
    """One a level, finest first."""
    levels: list[TiledLevel]
    """Where the tiles of each lie."""
    notes: tuple[str, ...]
    """What else the file holds."""
    reading: str
    """What is taken otherwise than earlier versions did."""
    number: int
    """Of the image that is taken."""


def find_levels(path: Path, tiff: tifffile.TiffFile, series: int | None = None) -> TiffPyramid:
    """Return the page and the tiles of each level, finest first, and what else the file holds.

    Of several time points the first is taken, of several focal planes the middle one.
    Raises UnreadableSlide for pixels that cannot be shown rightly, or are not there.
    """
    check_chain(path, tiff)
    contents = find_contents(path, tiff, series)
    for page in contents.pages:
        check_page(path, page)
    levels = [stored_level(path, page) for page in contents.pages]
    undeclared = contents.pages[0].samplesperpixel == 4 and not alpha_of(contents.pages[0])
    fourth = ("its fourth sample is not declared to be alpha, and is left out",) if undeclared else ()
    reading = "three of four samples" if undeclared else ""
    return TiffPyramid(contents.pages, levels, (*notes_on(path, contents), *fourth), reading, contents.chosen.number)


def notes_on(path: Path, contents: TiffContents) -> tuple[str, ...]:
    """Return clauses on planes and images that are not taken; the slide itself, stored smaller, is no other image."""
    rest = true_others(path, contents)
    return (*contents.notes, *turned(contents.pages[0]), *other_images(contents.chosen, rest))


def sections_in(path: Path, tiff: tifffile.TiffFile) -> tuple[int, ...]:
    """Return the numbers of the scans of a file that holds several. Raises as ``find_levels`` does of the largest."""
    check_chain(path, tiff)
    contents = find_contents(path, tiff, None)
    apart = [one.choice for one in unmarked_levels(tiff, contents) if not is_copy(path, contents.pages[0], one)]
    return section_numbers(contents.chosen, [*true_others(path, contents), *apart])


def unmarked_levels(tiff: tifffile.TiffFile, contents: TiffContents) -> list[TiffImage]:
    """Return the images that proportions alone make levels, as in Aperio's files: a section may have them by chance."""
    levels = {page.offset for page in contents.pages[1:] if not page.is_reduced}
    return [image for image in images_of(tiff) if image.page.offset in levels]


def true_others(path: Path, contents: TiffContents) -> list[ImageChoice]:
    """Return the scans that are not taken, without those that are the slide itself, stored smaller."""
    full = contents.pages[0]
    return [one.choice for one in contents.others if not (is_reduction(one.page, full) and is_copy(path, full, one))]


def turned(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Return a clause on a page that is to be turned or mirrored when it is shown (TIFF tag Orientation)."""
    orientation = orientation_of(page)
    return () if orientation == UPRIGHT else (turned_note(orientation),)


def is_copy(path: Path, full: tifffile.TiffPage, other: TiffImage) -> bool:
    """Tell whether another page shows what a page shows, as far as both can be decoded."""
    pages = full, other.page
    if not all(decoders(page) for page in pages):
        return True
    try:
        check_page_claim(path, other.page)
        levels = [stored_level(path, page) for page in pages]
    except (UnreadableSlide, ValueError, ArithmeticError):  # of the other page, which is not wanted
        return True
    sizes = [(level.width, level.height) for level in levels]
    tiles = StoredTiles(path, levels)
    with WindowedSlide(unscaled(path, sizes), tiles.read, tiles.close) as both:
        return list(agreeing_levels(both, (0, 1))) == [0, 1]


def check_chain(path: Path, tiff: tifffile.TiffFile) -> None:
    """Raise UnreadableSlide where the list of pages breaks off, which tifffile passes over."""
    if not len(tiff.pages):
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is cut short: its pages lie beyond its end; {COPY}")
    pages = [page.aspage() for page in tiff.pages]
    for page in pages:
        check_tags(path, page)
    kind, file, last = tiff.tiff, tiff.filehandle, pages[-1].offset
    file.seek(last)
    (tags,) = struct.unpack(kind.tagnoformat, file.read(kind.tagnosize))
    file.seek(last + kind.tagnosize + tags * kind.tagsize)
    (following,) = struct.unpack(kind.offsetformat, file.read(kind.offsetsize))
    reductions = [offset for page in pages for offset in page.subifds or ()]
    is_broken = following and following not in {page.offset for page in pages}
    if is_broken or max(reductions, default=0) >= path.stat().st_size:
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is cut short: pages are missing at its end; {COPY}")


def check_tags(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide where tags that are numbers hold something else, which tifffile hands on as it is."""
    numbers = {name: getattr(page, name) for name in NUMBERS} | dict(enumerate(page.subifds or ()))
    wrong = next((name for name, value in numbers.items() if not isinstance(value, int)), None)
    if wrong is not None:
        what = wrong if isinstance(wrong, str) else "list of smaller pages"
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} is damaged: the {what} of a page is no number; {COPY}")


def check_page(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide for pixels that cannot be shown rightly, decoded, or held, and for a file that is cut."""
    stem = stem_of(path)
    check_samples(path, page)
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise UnreadableSlide(f"{stem}: {path.name} has {compression_name(page)}, which no reader decodes; {EXPORT}")
    if page.planarconfig != 1 and page.samplesperpixel > 1:
        raise UnreadableSlide(
            f"{stem}: {path.name} keeps its {page.samplesperpixel} colours in planes apart, which this reader does not "
            f"put together; {BY_OPENSLIDE if page.is_tiled else TILE}"
        )
    if not decoders(page) or page.tiledepth != 1 or page.imagedepth != 1:
        raise UnreadableSlide(
            f"{stem}: {path.name} has {page.samplesperpixel} × {page.bitspersample}-bit samples a pixel "
            f"({photometric_name(page)}, {compression_name(page)}); only "
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
