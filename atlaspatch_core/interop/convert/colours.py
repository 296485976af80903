"""Colours that a converted slide cannot have, found before a pixel is read: never a silent guess."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.sections import SeriesChoice

if TYPE_CHECKING:
    from tifffile import TiffFile

CURE = "export it as 8-bit RGB first"
PLANES = {"C": "channels", "Z": "focal planes", "T": "points in time"}
USABLE = ("RGB", "YCBCR", "MINISBLACK", "MINISWHITE", "PALETTE")
"""Photometric interpretations of TIFF that are RGB, or become RGB without a choice."""

PICTURES = ("JPEG2000", "BMP", "PPM")
"""Formats of Pillow that libvips may lack; the others are looked at by libvips itself."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX")
"""Modes of Pillow that are RGB, or become RGB without a choice."""


def check_tiff(stem: str, path: Path, series: SeriesChoice = None) -> None:
    """Raise UnreadableSlide for a TIFF of more than 8 bits, of inks (CMYK) or other colours, or of several planes.

    The first image of the file is looked at, or the one of a number. Files of other formats pass.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            complaint = _complaint(file, series if isinstance(series, int) else 0)
    except (TiffFileError, OSError, ValueError, IndexError, KeyError):
        return  # no TIFF, or a damaged one: the reader says so
    if complaint:
        raise UnreadableSlide(f"{stem}: {path.name} {complaint}; {CURE}")


def _complaint(file: "TiffFile", number: int) -> str:
    apart = file.series[number] if file.is_ome or file.is_imagej else None
    page: Any = apart.keyframe if apart else file.pages[number].aspage()
    bits = page.bitspersample
    if bits > 8:
        return f"has {bits} bits per channel, which 8-bit RGB would cut"
    colours = getattr(page.photometric, "name", str(page.photometric))
    if colours not in USABLE:
        return f"has colours of the kind {colours}, which are not RGB"
    return _planes(apart) if apart else ""


def _planes(series: Any) -> str:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    many = [f"{sizes[axis]} {name}" for axis, name in PLANES.items() if sizes.get(axis, 1) > 1]
    if many:
        return f"has {' and '.join(many)}, not one picture in colour"
    samples = math.prod(sizes.get(axis, 1) for axis in "SC")
    return f"has {samples} channels, not one picture in colour" if samples not in (1, 3, 4) else ""


def check_picture(stem: str, path: Path) -> None:
    """Raise UnreadableSlide for a picture that Pillow knows, of more than 8 bits or of inks; other files pass."""
    from PIL import Image

    try:
        with Image.open(path, formats=PICTURES) as image:
            mode = image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # no such picture, or a damaged one: the reader says so
    if mode not in MODES:
        raise UnreadableSlide(f"{stem}: {path.name} has pixels of the kind {mode}, not 8-bit RGB; {CURE}")


def as_rgb(stem: str, path: Path, image: Any) -> Any:
    """Return a libvips image as 8-bit RGB, transparent pixels over white. Raises UnreadableSlide for CMYK and 16 bits.

    A change of colours that loses nothing is made: grey and palettes become RGB.
    """
    if image.format != "uchar":
        raise UnreadableSlide(f"{stem}: {path.name} has pixels of the kind {image.format}, not 8 bits; {CURE}")
    if image.interpretation not in ("srgb", "rgb", "b-w"):
        raise UnreadableSlide(f"{stem}: {path.name} has colours of the kind {image.interpretation}; {CURE}")
    if image.hasalpha():
        image = image.flatten(background=255)
    return image.bandjoin([image, image]) if image.bands == 1 else image
