"""TIFFs through tifffile and imagecodecs: compressions that OpenSlide refuses, OME-TIFF, strips.

Only the tiles that a region touches are read and decoded.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY, INSTALL_OPENSLIDE
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.damage import DAMAGED_FILE, cut_short, refuse_damage
from atlaspatch_core.slides.readers.reader import Reader
from atlaspatch_core.slides.readers.tiff_vendors import has_openslide, vendor_of_layout
from atlaspatch_core.slides.readers.windows import WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of

if TYPE_CHECKING:
    from tifffile import TiffFile

NAME = "tiff"
SILENCE = logging.NullHandler()
"""Keeps what tifffile logs of a damaged file, which the error says anyway, from a console without logging."""
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How TIFF and BigTIFF begin."""
PLAIN = (None, "generic-tiff", "aperio")
"""What OpenSlide calls files whose tiles lie side by side from (0, 0). Other vendors' overlap, or are shifted."""


def recognises(path: Path) -> bool:
    """Say whether the file is a TIFF whose tiles lie as the format has it."""
    return is_tiff(path) and vendor_of_layout(path) in PLAIN


def is_tiff(path: Path) -> bool:
    """Say whether a file begins as TIFFs do."""
    try:
        with path.open("rb") as file:
            return file.read(4) in MAGIC
    except OSError:
        return False


def is_ome(path: Path) -> bool:
    """Say whether a file is an OME-TIFF: it is called so, or its first description is OME-XML."""
    import tifffile

    if path.name.lower().endswith((".ome.tif", ".ome.tiff")):
        return True
    try:
        with tifffile.TiffFile(path) as tiff:
            return tiff.is_ome
    except DAMAGED_FILE:
        return False


def open_tiff(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open a TIFF of brightfield colours or grey. Raises UnreadableSlide for what it cannot show rightly."""
    import tifffile

    what = f"{stem_of(path)}: {path.name} is cut short, damaged, or no TIFF that tifffile can follow"
    logging.getLogger("tifffile").addHandler(SILENCE)
    check_layout(path)
    with refuse_damage(lambda error: f"{what} ({error}); {COPY}"), tifffile.TiffFile(path) as tiff:
        return open_pages(path, tiff, stated, series)


def sections_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the scans of a TIFF that holds several. Raises UnreadableSlide."""
    import tifffile

    from atlaspatch_core.slides.readers.tiff_levels import sections_in

    logging.getLogger("tifffile").addHandler(SILENCE)
    with refuse_damage(cut_short(path)), tifffile.TiffFile(path) as tiff:
        return sections_in(path, tiff)


def open_pages(path: Path, tiff: "TiffFile", stated: StatedMpp, series: int | None) -> WindowedSlide:
    """Open the pyramid of a TIFF; the file may be closed afterwards."""
    from atlaspatch_core.slides.readers.stored_tiles import StoredTiles
    from atlaspatch_core.slides.readers.tiff_levels import find_levels
    from atlaspatch_core.slides.readers.tiff_properties import properties_of

    pyramid = find_levels(path, tiff, series)
    sizes = [(level.width, level.height) for level in pyramid.levels]
    properties = properties_of(tiff, pyramid.pages[0], pyramid.number)
    info = describe(path, NAME, sizes, properties, stated, notes=pyramid.notes, reading=pyramid.reading)
    tiles = StoredTiles(path, pyramid.levels)
    return WindowedSlide(info, tiles.read, tiles.close)


def check_layout(path: Path) -> None:
    """Raise UnreadableSlide for what is no TIFF, or lays out its tiles in a way of its own."""
    if not is_tiff(path):
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} {is_not(path, 'TIFF')}")
    vendor = vendor_of_layout(path)
    if vendor not in PLAIN:
        cure = "leave out the reader, so that OpenSlide reads it" if has_openslide() else INSTALL_OPENSLIDE
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} lays out its tiles as {vendor} does, not as TIFFs do; {cure}"
        )


TIFF = Reader(
    name=NAME, suffixes=(".btf", ".tf8", ".qptiff"), recognises=recognises, open=open_tiff, sections=sections_of
)
