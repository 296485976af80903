"""From the bytes of a stored tile to RGB pixels."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from atlaspatch_core.slides.tiles.samples import PALETTE, alpha_of, is_brightfield, stated_range
from atlaspatch_core.slides.tiles.wholeness import check_jpeg, check_jpeg2000, check_webp

Decode = Callable[[bytes, int, NDArray[np.uint8]], None]
"""Bytes of a tile, its number in the level, and where its pixels go: shape (tile height, tile width, 3).

Raises ValueError or RuntimeError where the bytes are no such tile. Safe from several threads.
"""

JPEG = 7
"""TIFF tag Compression, as libtiff lists it."""
JPEG2000 = 34712
"""The same: JPEG 2000, as libvips and others write it."""
APERIO_JPEG2000_YCBCR = 33003
"""TIFF tag Compression, as Aperio uses it: JPEG 2000 that holds Y, Cb, Cr and does not say so."""
APERIO_JPEG2000_RGB, WEBP = 33005, 50001
"""The same: JPEG 2000 that holds RGB, and WebP."""
RGB_AFTER_ALL = (APERIO_JPEG2000_RGB, WEBP)
"""TIFF tag Compression: what decodes to RGB, whatever the page says (Aperio's other JPEG 2000, WebP)."""
COLOUR_SPACES = {2: "RGB", 6: "YCBCR"}
"""By TIFF tag PhotometricInterpretation, which overrules a JPEG's own markers: Aperio's RGB has none."""
GREY = {0: "dark is high", 1: "dark is low"}
"""By the same tag."""


Segments = Callable[[bytes, int], NDArray[np.uint8]]
"""Bytes of a tile and its number to its samples, shape (height, width, samples); cropped at the edge, perhaps."""


def decoders(page: tifffile.TiffPage, *, raw: bool = False) -> tuple[Decode, ...]:
    """Return the ways in which the tiles of a page may be meant, likeliest first.

    None where they are not 8-bit RGB, RGB with a fourth sample (laid over white where it is declared alpha, left out
    where it is not), 16-bit RGB of a stated range, or 8-bit grey, pixel by pixel.
    ``raw``: whole rows of samples as they are, any number of rows, take the place of tiles.
    """
    if not is_brightfield(page) or (page.planarconfig != 1 and page.samplesperpixel > 1):
        return ()
    ways = _ways(page, _rows(page) if raw else _by_tifffile(page), raw=raw)
    check = CHECKS.get(page.compression)
    return tuple(_checked(check, way) for way in ways) if check and not raw else ways


def _ways(page: tifffile.TiffPage, segments: Segments, *, raw: bool) -> tuple[Decode, ...]:
    if page.bitspersample == 16:
        return () if raw else (_scaled(segments, stated_range(page) or 0),)
    if page.samplesperpixel == 1 and page.photometric in GREY:
        return (_grey(page, segments),)
    if page.photometric == PALETTE and page.colormap is not None:
        return (_palette(page, segments),)
    if alpha_of(page):
        return (_over_white(page, segments),)
    if page.samplesperpixel == 4:
        return (_first_three(segments),)
    return _rgb(page, segments) if page.samplesperpixel == 3 else ()


def _rgb(page: tifffile.TiffPage, segments: Segments) -> tuple[Decode, ...]:
    colours = COLOUR_SPACES.get(page.photometric)
    if colours and page.compression == JPEG:
        ways = _jpeg(page.jpegtables, colours), _as_it_is(segments)
        # Bio-Formats calls its pages RGB and stores JFIF, which is always Y, Cb, Cr.
        return ways[::-1] if colours == "RGB" and page.is_jfif else ways
    if colours and page.compression == APERIO_JPEG2000_YCBCR:
        return (_jpeg2000_ycbcr,)
    if colours == "YCBCR" and page.compression == JPEG2000:
        return (_jpeg2000,)
    if colours == "RGB" or (colours and page.compression in RGB_AFTER_ALL):
        return (_as_it_is(segments),)
    return ()


def _checked(check: Callable[[bytes], None], decode: Decode) -> Decode:
    """Have tiles looked at before they are decoded: lenient decoders make up what a tile lacks."""

    def decode_whole(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        check(data)
        decode(data, tile, out)

    return decode_whole


CHECKS: dict[int, Callable[[bytes], None]] = {
    JPEG: check_jpeg,
    JPEG2000: check_jpeg2000,
    APERIO_JPEG2000_YCBCR: check_jpeg2000,
    APERIO_JPEG2000_RGB: check_jpeg2000,
    WEBP: check_webp,
}
"""What is looked at in tiles whose decoder does not tell damage, by TIFF tag Compression."""


def jpeg_head(page: tifffile.TiffPage) -> bytes | None:
    """Return what makes a JPEG file of a tile, put in place of its first two bytes; None where tiles are no JPEG.

    That is the tables that all tiles share, and Adobe's marker that names the colour space as the page does.
    """
    if page.compression != JPEG or page.samplesperpixel != 3 or page.photometric not in COLOUR_SPACES:
        return None
    is_ycbcr = COLOUR_SPACES[page.photometric] == "YCBCR"
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([is_ycbcr])
    return b"\xff\xd8" + adobe + (page.jpegtables or b"")[2:-2]


def _jpeg(tables: bytes | None, colour_space: str) -> Decode:
    """Decode JPEG by libjpeg-turbo's defaults, as OpenSlide does: the pixels are the same bytes."""

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:  # noqa: ARG001 - every tile is alike
        imagecodecs.jpeg8_decode(data, tables=tables, colorspace=colour_space, outcolorspace="RGB", out=out)

    return decode


def _by_tifffile(page: tifffile.TiffPage) -> Segments:
    """Decode as tifffile does: it knows compressions, predictors, bit orders and cropped tiles at the edge."""
    decode_segment: Any = page.decode
    tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
    return lambda data, tile: decode_segment(data, tile, **tables)[0][0]


def _rows(page: tifffile.TiffPage) -> Segments:
    """Take samples as they are."""
    shape = -1, page.imagewidth, page.samplesperpixel
    return lambda data, tile: np.frombuffer(data, np.uint8).reshape(shape)  # noqa: ARG005 - all rows are alike


def _as_it_is(segments: Segments) -> Decode:
    """Decode three samples a pixel that are R, G, B."""

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        pixels = segments(data, tile)
        out[: pixels.shape[0], : pixels.shape[1]] = pixels

    return decode


def _grey(page: tifffile.TiffPage, segments: Segments) -> Decode:
    """Decode one sample a pixel to three alike."""
    is_negative = page.photometric == 0

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        pixels = segments(data, tile)
        out[: pixels.shape[0], : pixels.shape[1]] = 255 - pixels if is_negative else pixels

    return decode


def _palette(page: tifffile.TiffPage, segments: Segments) -> Decode:
    """Decode indices of the colours that the page lists: of 16 bits, unless none has more than 8, as libtiff does."""
    listed = np.asarray(page.colormap, np.uint32).T
    colours = (listed if listed.max() < 256 else listed * 255 // 65_535).astype(np.uint8)
    return _as_it_is(lambda data, tile: colours[segments(data, tile)[..., 0]])


def _first_three(segments: Segments) -> Decode:
    """Decode RGB with a fourth sample that is no alpha: infrared, a mask."""
    return _as_it_is(lambda data, tile: segments(data, tile)[..., :3])


def _scaled(segments: Segments, largest: int) -> Decode:
    """Decode RGB of 16 bits, of which ``largest`` is white, rounded to the nearest value."""
    return _as_it_is(
        lambda data, tile: np.minimum(
            (segments(data, tile).astype(np.uint32) * 255 + largest // 2) // largest, 255
        ).astype(np.uint8)
    )


def _over_white(page: tifffile.TiffPage, segments: Segments) -> Decode:
    """Decode RGB or grey with alpha, and lay it over white, rounded to the nearest value."""
    is_premultiplied, is_negative = alpha_of(page) == 1, page.photometric == 0

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        pixels = segments(data, tile)
        colours, alpha = pixels[..., :-1].astype(np.uint32), pixels[..., -1:].astype(np.uint32)
        if is_negative:
            colours = (alpha if is_premultiplied else 255) - colours
        covered = colours * (255 if is_premultiplied else alpha) + 255 * (255 - alpha)
        out[: pixels.shape[0], : pixels.shape[1]] = np.minimum((covered + 127) // 255, 255)

    return decode


_CHROMA = np.arange(-128, 128)
# JFIF 1.02, rounded to the nearest whole number. Halves as in OpenSlide 4: away from 0, but up in green.
_RED = np.sign(_CHROMA) * ((1402 * abs(_CHROMA) + 500) // 1000)
_GREEN = (-34414 * _CHROMA[:, None] - 71414 * _CHROMA + 50_000) // 100_000
_BLUE = np.sign(_CHROMA) * ((1772 * abs(_CHROMA) + 500) // 1000)


def _jpeg2000_ycbcr(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:  # noqa: ARG001 - every tile is alike
    """Decode JPEG 2000 that holds Y, Cb, Cr."""
    luma, blue, red = np.moveaxis(imagecodecs.jpeg2k_decode(data), -1, 0)
    for channel, difference in enumerate((_RED[red], _GREEN[blue, red], _BLUE[blue])):
        out[: luma.shape[0], : luma.shape[1], channel] = np.clip(luma + difference, 0, 255)


def _jpeg2000(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
    """Decode JPEG 2000 of a page that says Y, Cb, Cr, unless the codestream itself turns its pixels into RGB.

    ISO 15444-1, A.6.1: the marker COD is FF52, then length (2 bytes), style (1), order (1), layers (2), transform (1).
    """
    style = data.find(b"\xff\x52")
    if data[style + 8 : style + 9] != b"\x01":
        _jpeg2000_ycbcr(data, tile, out)
        return
    pixels = imagecodecs.jpeg2k_decode(data)
    out[: pixels.shape[0], : pixels.shape[1]] = pixels
