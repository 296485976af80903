"""Which files OpenSlide knows, and why it refuses one."""

from pathlib import Path

from atlaspatch_core.errors import MissingExtra, UnreadableSlide
from atlaspatch_core.slides.dicom_files import instances, is_dicom, is_series_folder
from atlaspatch_core.slides.readers.advice import COPY, INSTALL_OPENSLIDE
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.openslide_tiff import OTHER
from atlaspatch_core.slides.readers.reader import UnsupportedSlide
from atlaspatch_core.slides.readers.tiff import is_ome
from atlaspatch_core.slides.readers.tiff_vendors import has_openslide
from atlaspatch_core.slides.slide import stem_of

BEYOND = ("Unsupported", "Unrecognized", "not supported", "Cannot get required TIFF tag")
"""Words by which OpenSlide says that a file is whole and more than it can decode."""
COMPRESSIONS = {"34712": "JPEG 2000", "50000": "Zstandard", "50001": "WebP", "50002": "JPEG XL", "52546": "JPEG XL"}
"""TIFF tag 259 (libtiff, tifffile): codes that OpenSlide 4 refuses."""


def file_of(path: Path) -> Path:
    """Return the file to name to OpenSlide: of a folder of DICOM instances any one, which it finds the others by."""
    return instances(path)[0] if path.is_dir() and is_series_folder(path) else path


def check_installed(path: Path) -> None:
    """Raise MissingExtra where OpenSlide, which is to read a file, is not installed."""
    if not has_openslide():
        raise MissingExtra(
            f"{stem_of(path)}: {path.name} is read by OpenSlide, which cannot be loaded; {INSTALL_OPENSLIDE}"
        )


def recognises(path: Path) -> bool:
    """Say whether OpenSlide knows the format.

    It takes an OME-TIFF for a TIFF of one level without a scale, so that one is left to the reader of TIFFs. Where
    OpenSlide is not installed, it knows none, and the others are asked.
    """
    if not has_openslide():
        return False
    from openslide import OpenSlide, OpenSlideError

    try:
        vendor = OpenSlide.detect_format(file_of(path))
    except OpenSlideError:
        return False
    return vendor is not None and not (vendor == "generic-tiff" and is_ome(path))


def refusal(path: Path, cause: str) -> UnreadableSlide:
    """Return why OpenSlide refuses a file, and what to do."""
    stem, code = stem_of(path), cause.rsplit(" ", 1)[-1]
    if "Unsupported or missing image file" in cause and recognises(path):
        return UnsupportedSlide(
            f"{stem}: OpenSlide knows the format of {path.name} and cannot follow its levels, which are not ordered by "
            f"size, say; {OTHER}"
        )
    if "Unsupported or missing image file" in cause:
        return UnreadableSlide(f"{stem}: {path.name} {is_not(path, 'slide that OpenSlide knows')}")
    if "TIFF compression" in cause and code in COMPRESSIONS:
        return UnsupportedSlide(
            f"{stem}: its pixels are compressed with {COMPRESSIONS[code]}, which OpenSlide cannot decode; {OTHER}"
        )
    if is_dicom(file_of(path)):
        return UnsupportedSlide(
            f"{stem}: OpenSlide cannot open {path.name} ({cause}): it reads DICOM of one focal plane, one optical path "
            f"and 8-bit RGB, whole files alone; {OTHER}"
        )
    if any(word in cause for word in BEYOND):
        return UnsupportedSlide(f"{stem}: OpenSlide cannot decode {path.name} ({cause}); {OTHER}")
    if "Short read" in cause:
        return UnreadableSlide(f"{stem}: {path.name} is cut short ({cause}); {COPY}")
    return UnreadableSlide(f"{stem}: {path.name} is cut short or damaged, OpenSlide cannot open it ({cause}); {COPY}")
