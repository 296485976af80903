"""What OpenSlide makes of a plain TIFF, held against the file itself: it takes the first page for the slide, any tiled
page for a level, any fourth sample for alpha, and shows something of a damaged tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.slides.readers.advice import EXPORT
from atlaspatch_core.slides.readers.damage import cut_short, refuse_damage
from atlaspatch_core.slides.readers.reader import UnsupportedSlide
from atlaspatch_core.slides.slide import stem_of

if TYPE_CHECKING:
    import tifffile

    from atlaspatch_core.slides.tiles.layout import TiledLevel

VENDORS = ("generic-tiff", "aperio")
"""What OpenSlide calls files of which it takes pages and samples as they come. It knows the rules of the others."""
LAX = (5, 7, 8, 32946, 32773, 33003, 33005)
"""TIFF tag Compression: LZW, JPEG, Deflate, PackBits and JPEG 2000: OpenSlide shows what it can of damaged ones."""
OTHER = f"leave out the reader, so that others are asked, or {EXPORT}"


@dataclass(frozen=True, slots=True)
class PlainTiff:
    """What is taken of the levels of OpenSlide."""

    numbers: tuple[int, ...]
    """Their numbers."""
    notes: tuple[str, ...]
    """What else the file holds."""
    tiles: tuple["TiledLevel", ...] = ()
    """Of the levels that are kept, where OpenSlide does not tell damage."""


def choose_tiff_levels(
    path: Path, sizes: Sequence[tuple[int, int]], series: int | None, library: str = "OpenSlide"
) -> PlainTiff:
    """Return which levels of a library, of these ``sizes`` (width, height), are the slide's, and what else there is.

    Raises UnreadableSlide for pixels that are no brightfield, and UnsupportedSlide where the slide is another page
    than the first, or its samples are shown rightly by another reader alone.
    """
    import tifffile

    from atlaspatch_core.slides.readers.tiff_images import find_contents
    from atlaspatch_core.slides.readers.tiff_levels import check_chain, notes_on, stored_level
    from atlaspatch_core.slides.tiles.codecs import decoders

    with refuse_damage(cut_short(path)), tifffile.TiffFile(path) as tiff:
        check_chain(path, tiff)
        contents = find_contents(path, tiff, series)
        check_shown(path, tiff, contents.pages, sizes[0], library)
        own = pages_by_level(tiff, sizes, contents.pages)
        numbers, pages = tuple(own), list(own.values())
        checked = all(page.is_tiled and page.compression in LAX and decoders(page) for page in pages)
        tiles = [stored_level(path, page) for page in pages] if checked else []
        return PlainTiff(numbers, notes_on(path, contents), tuple(tiles))


def check_shown(
    path: Path, tiff: "tifffile.TiffFile", pages: "Sequence[tifffile.TiffPage]", size: tuple[int, int], library: str
) -> None:
    """Raise UnsupportedSlide where a library shows another page than the slide, false colours, or turned tiles."""
    from atlaspatch_core.slides.tiles.samples import UPRIGHT, is_plain, orientation_of

    stem, full = stem_of(path), pages[0]
    if full.offset != tiff.pages.first.offset or (full.imagewidth, full.imagelength) != size:
        raise UnsupportedSlide(
            f"{stem}: the slide in {path.name} is not its first page, and {library} opens no other; {OTHER}"
        )
    if not is_plain(full):
        raise UnsupportedSlide(
            f"{stem}: {path.name} has samples beyond 8-bit RGB that {library} shows in false colours; {OTHER}"
        )
    if any(orientation_of(page) != UPRIGHT for page in pages):
        raise UnsupportedSlide(
            f"{stem}: pages of {path.name} are to be turned or mirrored, which {library} does to each tile "
            f"where it lies; {OTHER}"
        )


def pages_by_level(
    tiff: "tifffile.TiffFile", sizes: Sequence[tuple[int, int]], pages: "Sequence[tifffile.TiffPage]"
) -> "dict[int, tifffile.TiffPage]":
    """Return number of a level of OpenSlide to its page, for those levels that are among the slide's ``pages``.

    OpenSlide takes the first page and tiled pages that are marked as reduced (Aperio: all), those of one size in the
    order of the file.
    """
    own = {page.offset for page in pages}
    tiled = [page for page in (page.aspage() for page in tiff.pages) if page.is_tiled]
    tiled = [page for page in tiled if page.index == 0 or page.is_reduced or tiff.is_svs]
    by_level: dict[int, tifffile.TiffPage] = {}
    for number, size in enumerate(sizes):
        page = next((page for page in tiled if (page.imagewidth, page.imagelength) == size), None)
        if page is not None:
            tiled.remove(page)
        if page is not None and page.offset in own:
            by_level[number] = page
    return by_level
