"""JPEG tiles decoded at a half, a quarter or an eighth of their size: the fine coefficients are left out.

OpenCV does it by libjpeg-turbo's scaled inverse DCT, without Python's lock. simplejpeg 1.9 gives the same pixels 1.0 to
1.16 times as fast, which is not worth a dependency; Pillow takes 1.2 to 1.4 times as long.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.tiles.codecs import Decode
from atlaspatch_core.slides.tiles.layout import TiledLevel
from atlaspatch_core.slides.tiles.wholeness import check_jpeg

DCT_FACTORS = (8,)
"""Where it pays: at least twice as fast as decoding in full and area averaging. Another factor is another feature:
whoever changes this raises the version of ``patch_features``.

Entropy decoding, which no scale saves, is half the time. Measured on two busy cores, 256-px tiles, quality 75, 4:2:0:
1.3 times as fast at 1/2, 1.8 at 1/4, 2.1 at 1/8 (4:4:4: 1.3, 1.7, 1.9). ``python -m benchmarks`` measures it again as
``dct_over_area_half``, ``_quarter`` and ``_eighth``, with the difference of the px.
"""
FLAGS = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
"""What OpenCV calls a size of 1 / key."""


def dct_factor(sampling: Sampling) -> int | None:
    """Return how many px of the level one px of a patch is wide, where JPEG can be decoded at that scale.

    None where px are not averaged, or those outside are not white, as decoded ones are.
    """
    factor, rest = divmod(sampling.read_size, sampling.patch_size)
    is_usual = sampling.resample == "area" and sampling.fill == 255
    return factor if rest == 0 and factor in FLAGS and is_usual else None


def reduce_level(level: TiledLevel, decode: Decode, factor: int) -> TiledLevel | None:
    """Return a level as its tiles are when decoded at 1 / ``factor``; None where they are no JPEG or do not divide.

    ``decode`` decodes a tile in full. Tiles over the right or bottom edge are, and are area-averaged with white outside
    the level: what a scanner stored there must not show, and a px may lie half outside.
    """
    if level.jpeg_head is None or level.tile_width % factor or level.tile_height % factor:
        return None
    # A px that lies partly outside counts, except where nothing outside may be read.
    rounding = 0 if level.padded else factor - 1
    return replace(
        level,
        width=(level.width + rounding) // factor,
        height=(level.height + rounding) // factor,
        tile_width=level.tile_width // factor,
        tile_height=level.tile_height // factor,
        decoders=(_choose(level, _averaged(level, decode), _reduced(level.jpeg_head, factor)),),
        jpeg_head=None,
    )


def _choose(level: TiledLevel, at_edge: Decode, inside: Decode) -> Decode:
    columns = level.offsets.shape[1]
    whole_columns, whole_rows = level.width // level.tile_width, level.height // level.tile_height

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        row, column = divmod(tile, columns)
        is_inside = row < whole_rows and column < whole_columns
        (inside if is_inside else at_edge)(data, tile, out)

    return decode


def _reduced(head: bytes, factor: int) -> Decode:
    flags = FLAGS[factor] | cv2.IMREAD_IGNORE_ORIENTATION

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:  # noqa: ARG001 - every tile is alike
        check_jpeg(data)
        pixels = cv2.imdecode(np.frombuffer(head + data[2:], np.uint8), flags)
        if pixels is None or pixels.shape != out.shape:
            raise ValueError("the bytes are no JPEG of a tile's size")
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=out)

    return decode


def _averaged(level: TiledLevel, decode_full: Decode) -> Decode:
    columns = level.offsets.shape[1]

    def decode(data: bytes, tile: int, out: NDArray[np.uint8]) -> None:
        row, column = divmod(tile, columns)
        pixels = np.empty((level.tile_height, level.tile_width, 3), np.uint8)
        decode_full(data, tile, pixels)
        pixels[max(0, level.height - row * level.tile_height) :] = 255
        pixels[:, max(0, level.width - column * level.tile_width) :] = 255
        cv2.resize(pixels, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_AREA)

    return decode
