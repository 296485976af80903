"""Whose layout a TIFF has: OpenSlide tells, or, where it is not installed, the marks that vendors leave in the file."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.slides.readers.damage import DAMAGED_FILE

if TYPE_CHECKING:
    import tifffile

XMP = 700
"""TIFF tag of an XML text."""
NDPI = 65420
"""TIFF tag that all pages of Hamamatsu's have."""
MARKS = (("leica", "leica-microsystems.com/scn"), ("philips", "Philips"), ("trestle", "MedScan"))
"""Vendors, and what the description or the software of their first page says."""


@cache
def has_openslide() -> bool:
    """Tell whether OpenSlide can be loaded: the package, and the library below it."""
    try:
        import openslide  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def vendor_of_layout(path: Path) -> str | None:
    """Return the vendor that OpenSlide sees in a TIFF, or None."""
    if not has_openslide():
        return marked_vendor(path)
    from openslide import OpenSlide, OpenSlideError

    try:
        return OpenSlide.detect_format(path)
    except OpenSlideError:
        return None


def marked_vendor(path: Path) -> str | None:
    """Return the vendor whose marks a TIFF bears, ``generic-tiff`` where it bears none, None for what is no TIFF."""
    from tifffile import TiffFile

    try:
        with TiffFile(path) as tiff:
            return _marked(tiff)
    except DAMAGED_FILE:
        return None


def _marked(tiff: "tifffile.TiffFile") -> str:
    first = tiff.pages.first
    if NDPI in first.tags:
        return "hamamatsu"
    if any(b"<iScan" in _xmp(page.aspage()) for page in tiff.pages):
        return "ventana"
    texts = f"{first.description}\n{first.software}"
    marked = (vendor for vendor, mark in MARKS if mark in texts)
    return next(marked, "aperio" if first.description.startswith("Aperio") else "generic-tiff")


def _xmp(page: "tifffile.TiffPage") -> bytes:
    value = page.tags.valueof(XMP, b"")
    return value if isinstance(value, bytes) else str(value).encode()
