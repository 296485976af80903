"""What the samples of a TIFF page mean: brightfield colours, or something that must not be shown as such."""

import re

import tifffile

RGB, YCBCR, PALETTE = 2, 6, 3
"""TIFF tag PhotometricInterpretation."""
GREY = (0, 1)
"""The same: 0 has white as 0, 1 has black."""
ALPHA = (1, 2)
"""TIFF tag ExtraSamples: with colours multiplied already, and not. 0, unspecified, may be anything."""
UNSIGNED = 1
"""TIFF tag SampleFormat."""
UPRIGHT = 1
"""TIFF tag Orientation: the first row is the top, the first column the left. libtiff's decoder to RGBA, which OpenSlide
uses, turns each tile within itself where it is another."""
SIGNIFICANT_BITS = re.compile(r'SignificantBits="(\d+)"')
"""What OME-XML says of samples that do not fill their bits."""


def alpha_of(page: tifffile.TiffPage) -> int:
    """Return what ExtraSamples says of the sample after RGB or grey: 1 or 2 for alpha, 0 for what is none."""
    first = int(page.extrasamples[0]) if page.extrasamples else 0
    usual = 2 if page.photometric in GREY else 4
    return first if page.samplesperpixel == usual and first in ALPHA else 0


def orientation_of(page: tifffile.TiffPage) -> int:
    """Return how a page is to be turned or mirrored when it is shown, as the TIFF tag Orientation numbers it."""
    stated = page.tags.valueof("Orientation", UPRIGHT)
    return stated if isinstance(stated, int) and 1 < stated <= 8 else UPRIGHT


def is_colour(page: tifffile.TiffPage) -> bool:
    """Tell whether a page's samples are red, green, blue, or made of them, perhaps with a fourth sample."""
    return page.photometric == RGB or (page.photometric == YCBCR and page.samplesperpixel == 3)


def colour_samples(page: tifffile.TiffPage) -> tuple[str, int, object]:
    """Return what two pages must have in common to be one picture at two sizes."""
    kind = "colour" if is_colour(page) else str(page.photometric)
    return kind, page.samplesperpixel, page.bitspersample


def is_brightfield(page: tifffile.TiffPage) -> bool:
    """Tell whether a page holds what may be shown as it is: 8-bit colours or grey, or 16-bit RGB of a stated range.

    A fourth sample of RGB may be there, whatever it is. Grey may have alpha, and a palette is colours.
    """
    samples = page.samplesperpixel
    if page.sampleformat != UNSIGNED:
        return False
    if page.bitspersample == 16:
        return page.photometric == RGB and samples == 3 and stated_range(page) is not None
    if page.bitspersample != 8:
        return False
    if page.photometric in GREY:
        return samples == 1 or bool(alpha_of(page))
    return (page.photometric == PALETTE and samples == 1) or (is_colour(page) and samples in (3, 4))


def is_plain(page: tifffile.TiffPage) -> bool:
    """Tell whether libtiff, which OpenSlide and cuCIM ask, shows such samples rightly.

    It takes any fourth sample for alpha, makes nothing of alpha beside grey, and takes the high byte of 16 bits
    whatever their range.
    """
    is_single = page.samplesperpixel in (1, 3) or (page.photometric == RGB and bool(alpha_of(page)))
    return is_brightfield(page) and page.bitspersample == 8 and is_single


def stated_range(page: tifffile.TiffPage) -> int | None:
    """Return the largest value that 16-bit samples can have, as MaxSampleValue or OME-XML states it, or None."""
    stated = page.tags.valueof("MaxSampleValue")
    values = set(stated) if isinstance(stated, tuple) else {stated}
    if stated is None and page.parent.is_ome:
        values = {2 ** int(bits) - 1 for bits in SIGNIFICANT_BITS.findall(page.parent.ome_metadata or "")}
    value = values.pop() if len(values) == 1 else None
    return int(value) if value is not None and 255 < int(value) < 65_536 else None
