"""TRIDENT's weightless rule: tiles of 512 px at 8 µm per px, each split by Otsu's threshold on its own, twice.

Kept for those who must come close to its masks. They are not its own to the px: here tiles are averaged down from the
level that is read, there every px is interpolated from four, and outlines are cleaned by area in µm² and simplified in
µm, there in px of a mask 2,000 px high. Along the rim of tissue that decides a patch here and there; whoever needs the
very patches of TRIDENT supplies its outlines. A tile of tissue alone, or of glass alone with some dust, is split as
well; ``otsu`` judges the slide as a whole.

What was tried on CMU-1-Small-Region at 256 px and 20x, of which TRIDENT has 58 patches, and 61 where its outlines are
not simplified: tiles interpolated by OpenCV from level 0, the mask as 0 and 255 enlarged in the same way to a height of
2,000 px, every px above 0 tissue, outermost contours over 1,000 px² with their corners truncated to level-0 px, give 58
patches, and the same three more. With averaged tiles there are 63; with the mask as 0 and 1, 55.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.morphology import Mask, pieces
from atlaspatch_core.tissue.segmenters.background import not_plain
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Networks, Pixels
from atlaspatch_core.tissue.segmenters.scaled import read_square, scale_to

MPP = 8.0
"""µm per px."""
SIDE = 512
"""Side of a tile, px."""
LEAST_OBJECT = 60
"""Smaller objects are dropped, px."""
LEAST_HOLE = 5000
"""Smaller holes are filled, px."""
BINS = 256
"""Of the histogram of gray values."""
LUMA = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in a gray value (ITU-R BT.709)."""


def segment(slide: Slide, spec: TissueSpec, networks: Networks) -> TissuePixels:  # noqa: ARG001
    """Return where tissue is, tile by tile, with ``dark_share``."""
    scale = scale_to(slide.info, MPP)
    mask = np.zeros((scale.height, scale.width), bool)
    for y in range(0, scale.height, SIDE):
        for x in range(0, scale.width, SIDE):
            place = mask[y : y + SIDE, x : x + SIDE]
            place[:] = split(read_square(slide, scale, x, y, SIDE))[: place.shape[0], : place.shape[1]]
    return TissuePixels(mask, scale.downsample, {"dark_share": not_plain(slide).dark_share})


def split(tile: Pixels) -> Mask:
    """Return the tissue of one tile (h, w, 3); a tile of one colour has none."""
    tile = np.where((tile == 0).all(axis=2, keepdims=True), np.uint8(255), tile)
    plain = tile.copy()
    plain[_gray_or_black(tile)] = 255
    tissue = _without_small(_darker(plain), LEAST_OBJECT)
    cut = np.where(tissue[..., None] | (tile == 0), tile, np.uint8(255))
    return ~_without_small(~_darker(cut), LEAST_HOLE)


def _gray_or_black(tile: Pixels) -> Mask:
    """Return shadows, dust and frames: of no colour and not dark, or dark."""
    _, saturation, value = cv2.split(cv2.cvtColor(tile, cv2.COLOR_RGB2HSV))
    return np.asarray(((saturation <= 10) & (value >= 70)) | (value <= 85), bool)


def _darker(tile: Pixels) -> Mask:
    """Return the pixels below Otsu's threshold of the tile's gray values."""
    red, green, blue = (weight * tile[..., channel] for channel, weight in enumerate(LUMA))
    gray = np.asarray(red + green + blue, np.float64)
    return gray < otsu_threshold(gray)


def otsu_threshold(gray: NDArray[np.float64]) -> float:
    """Return the centre of the last bin of the darker class; the value itself where there is only one.

    The bins lie evenly between the least and the greatest value.
    """
    low, high = float(gray.min()), float(gray.max())
    if low == high:
        return low
    counts, edges = np.histogram(gray, BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * centres) / below
    mean_above = np.cumsum((counts * centres)[::-1])[::-1] / above
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centres[np.argmax(between)])


def _without_small(mask: Mask, least: int) -> Mask:
    """Return ``mask`` without pieces (4-connected) of fewer than ``least`` px."""
    labels, areas = pieces(mask, connectivity=4)
    return (areas >= least)[labels] & mask


OTSU_TILED = Segmenter(
    name="otsu_tiled",
    version=2,
    license="Apache-2.0",
    source="Otsu, IEEE Trans. SMC 9 (1979) 62-66, by the tile, with the constants that TRIDENT publishes",
    segment=segment,
)
