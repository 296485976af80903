"""From the bytes of a stored tile to RGB pixels."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

Decode = Callable[[bytes, int, NDArray[np.uint8]], None]
"""Bytes of a tile, its number in the level, and where its pixels go: shape (tile height, tile width, 3).

Raises ValueError or RuntimeError where the bytes are no such tile. Safe from several threads.
"""

JPEG = 7
"""TIFF tag Compression, as libtiff lists it."""
APERIO_JPEG2000_YCBCR = 33003
"""TIFF tag Compression, as Aperio uses it: JPEG 2000 that holds Y, Cb, Cr and does not say so."""
COLOUR_SPACES = {2: "RGB", 6: "YCBCR"}
"""By TIFF tag PhotometricInterpretation, which overrules a JPEG's own markers: Aperio's RGB has none."""


def decoders(page: tifffile.TiffPage) -> tuple[Decode, ...]:
    """Return the ways in which the tiles of a page may be meant, likeliest first; none where they are not 8-bit RGB."""
    three_bytes = page.samplesperpixel == 3 and page.bitspersample == 8 and page.planarconfig == 1
    if not three_bytes or page.photometric not in COLOUR_SPACES:
        return ()
    if page.compression == APERIO_JPEG2000_YCBCR:
        return (_aperio_jpeg2000,)
    if page.compression == JPEG:
        return _jpeg(page.jpegtables, COLOUR_SPACES[page.photometric]), _by_tifffile(page)
    return (_by_tifffile(page),)


def jpeg_head(page: tifffile.TiffPage) -> bytes | None:
    """Return what makes a JPEG file of a tile, put in place of its first two bytes; None where tiles are no JPEG.

    That is the tables that all tiles share, and Adobe's marker that names the colour space as the page does.
    """
    if page.compression != JPEG or page.photometric not in COLOUR_SPACES:
        return None
    is_ycbcr = COLOUR_SPACES[page.photometric] == "YCBCR"
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([is_ycbcr])
    return b"\xff\xd8" + adobe + (page.jpegtables or b"")[2:-2]


def _jpeg(tables: bytes | None, colour_space: str) -> Decode:
    """Decode JPEG by libjpeg-turbo's defaults, as OpenSlide does: the pixels are the same bytes."""

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:  # noqa: ARG001 - every tile is alike
        imagecodecs.jpeg8_decode(data, tables=tables, colorspace=colour_space, outcolorspace="RGB", out=out)

    return decode


def _by_tifffile(page: tifffile.TiffPage) -> Decode:
    """Decode as tifffile does: it knows compressions, predictors, bit orders and cropped tiles at the edge."""
    decode_segment: Any = page.decode
    tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        pixels = decode_segment(data, tile, **tables)[0][0]
        out[: pixels.shape[0], : pixels.shape[1]] = pixels

    return decode


_CHROMA = np.arange(-128, 128)
# JFIF 1.02, rounded to the nearest whole number. Halves as in OpenSlide 4: away from 0, but up in green.
_RED = np.sign(_CHROMA) * ((1402 * abs(_CHROMA) + 500) // 1000)
_GREEN = (-34414 * _CHROMA[:, None] - 71414 * _CHROMA + 50_000) // 100_000
_BLUE = np.sign(_CHROMA) * ((1772 * abs(_CHROMA) + 500) // 1000)


def _aperio_jpeg2000(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:  # noqa: ARG001 - every tile is alike
    """Decode JPEG 2000 that holds Y, Cb, Cr."""
    luma, blue, red = np.moveaxis(imagecodecs.jpeg2k_decode(data), -1, 0)
    for channel, difference in enumerate((_RED[red], _GREEN[blue, red], _BLUE[blue])):
        out[..., channel] = np.clip(luma + difference, 0, 255)
