"""What a page of a TIFF claims, held against the tiles or strips that it lists and the bytes that these take."""

from pathlib import Path

import tifffile

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.claims import check_claim, check_pieces, covered_bytes
from atlaspatch_core.slides.slide import Level, stem_of
from atlaspatch_core.slides.tiles.layout import find_tiled_level


def check_page_claim(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide for a page that claims more than it stores. Raises ArithmeticError for tiles of no side."""
    size = page.imagewidth, page.imagelength
    if page.is_memmappable and not page.is_tiled:
        check_raw_bytes(path, page)
    else:
        check_pieces(path, size, pieces_needed(page), len(page.dataoffsets), "tiles" if page.is_tiled else "strips")
    check_claim(path, size, [covered_bytes(page.dataoffsets, page.databytecounts)], f"page {page.index}")


def pieces_needed(page: tifffile.TiffPage) -> int:
    """Return how many tiles or strips the pixels of a page take."""
    planes = page.samplesperpixel if page.planarconfig != 1 else 1
    if page.is_tiled:
        return -(-page.imagewidth // page.tilewidth) * -(-page.imagelength // page.tilelength) * planes
    return -(-page.imagelength // page.rowsperstrip) * planes


def check_raw_bytes(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide where samples that lie in the file as they are would reach beyond its end.

    Lengths of strips are not asked: writers of more than 4 GiB state wrong ones.
    """
    needed = page.imagewidth * page.imagelength * page.samplesperpixel * -(-int(page.bitspersample) // 8)
    present = path.stat().st_size - page.dataoffsets[0]
    if present < needed:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is cut short or damaged: its {page.imagewidth:,} × {page.imagelength:,} px "
            f"take {needed:,} bytes, and it has {max(0, present):,}; {COPY}"
        )


def check_level_claim(path: Path, size: tuple[int, int]) -> None:
    """Raise UnreadableSlide where the tiled page of a ``size``, px, claims more than its tiles store, if there is one.

    For files of which another library tells the levels.
    """
    tiled = find_tiled_level(path, Level.of(size, size))
    if tiled is not None:
        check_claim(path, size, [covered_bytes(tiled.offsets, tiled.byte_counts)], "its tiled image")
