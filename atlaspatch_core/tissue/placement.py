"""Whether tissue that a person supplied lies on the slide's tissue: how much of it is glass, how much stain it misses.

A mask that is inverted, turned, mirrored, at another scale or counted from another corner is valid in itself. What the
slide shows tells it: tissue is darker than glass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.slides.overview import Overview
from atlaspatch_core.tissue.morphology import Mask, close_gaps, drop_specks
from atlaspatch_core.tissue.segmenters.colour import GLASS, balanced, brightest, chroma, darkest, texture
from atlaspatch_core.tissue.segmenters.faint import LEAST_DENSITY
from atlaspatch_core.tissue.segmenters.ink import find_ink
from atlaspatch_core.tissue.segmenters.otsu import MOST_BLACK, NEAR_BLACK, PALEST

CLEAR_DENSITY = 0.05
"""Optical density of clear stain, if it has no colour: 11 % less light than glass."""
SPECK_UM2 = 5_000.0
"""What is darker than glass and smaller than this is dust, µm²."""
LEAST_STAIN_UM2 = 20_000.0
"""Less stain than this, µm², or than ``LEAST_STAIN`` of a small slide, says nothing of where tissue is."""
LEAST_STAIN = 0.01
INNER_GAP_UM = 100.0
"""Glass narrower than twice this is inside tissue, µm: alveoli, fat cells, lumens, the rim of an outline."""
BARE_PATCH = 0.95
"""Share of glass from which a patch shows nothing else."""
MOST_LIGHTER = 0.25
"""Share of the slide, of what is taken for glass, that may be lighter than glass: else that is a pale tissue."""
ELSEWHERE = 0.5
"""Share of the stain outside of a mask from which the mask is of another place."""


@dataclass(frozen=True, slots=True)
class GlassAndStain:
    """What a slide shows at a glance."""

    glass: Mask
    """Bare glass, shape (height, width)."""
    stain: Mask
    """What is clearly stained; ink and black frames are not."""
    downsample: float
    """Level-0 px per px."""

    @classmethod
    def seen_in(cls, overview: Overview) -> Self | None:
        """Return it; None where glass is not what is light (fluorescence), or nothing is clearly stained."""
        pixels, px_um2 = balanced(overview.pixels), overview.mpp**2
        black = (brightest(pixels) <= NEAR_BLACK) & (chroma(pixels) < PALEST)
        smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)
        density = _density(smooth)
        bare = density < max(LEAST_DENSITY / 2, 2 * _noise(pixels, density))
        lighter = (density < -LEAST_DENSITY / 2) & (darkest(pixels) < 254)
        if black.mean() > MOST_BLACK or lighter.sum() > MOST_LIGHTER * bare.sum():
            return None
        stained = (density >= CLEAR_DENSITY) | (chroma(smooth) >= PALEST)
        stain = drop_specks(stained & ~black & ~find_ink(pixels, overview.mpp), SPECK_UM2 / px_um2)
        if stain.sum() < min(LEAST_STAIN_UM2 / px_um2, LEAST_STAIN * stain.size):
            return None
        covered = close_gaps(drop_specks(~bare, SPECK_UM2 / px_um2), INNER_GAP_UM / overview.mpp)
        return cls(~covered, stain, overview.downsample)


def placement_of_mask(overview: Overview, polygons: Sequence[shapely.Polygon]) -> dict[str, float]:
    """Return the shares of tissue that is bare glass and of stain outside of it, 0 to 1, and the middle of that glass.

    ``mask_glass_share``, or ``mask_elsewhere_share`` where most of the stain lies outside, ``stain_outside_share``,
    ``mask_glass_x`` and ``mask_glass_y``, level-0 px. Nothing where the slide does not tell, or there is no tissue.
    """
    seen = GlassAndStain.seen_in(overview) if polygons else None
    mask = _painted(polygons, seen.glass.shape, seen.downsample) if seen else None
    if seen is None or mask is None or not mask.any():
        return {}
    glass, outside = float(seen.glass[mask].mean()), float(np.mean(~mask[seen.stain]))
    x, y = _middle(seen.glass & mask, seen.downsample)
    name = "mask_elsewhere_share" if outside > ELSEWHERE else "mask_glass_share"
    return {name: glass, "stain_outside_share": outside, "mask_glass_x": x, "mask_glass_y": y}


def bare_patches(overview: Overview, corners: NDArray[np.integer], size_level0: int) -> Mask:
    """Return which patches show nothing but bare glass, shape (n,); none where the slide does not tell.

    ``corners``: shape (n, 2), level-0 px; ``size_level0``: side of the patches.
    """
    seen = GlassAndStain.seen_in(overview) if len(corners) else None
    if seen is None:
        return np.zeros(len(corners), bool)
    sums = cv2.integral(seen.glass.astype(np.uint8), sdepth=cv2.CV_32S)
    height, width = seen.glass.shape
    near = np.floor(corners / seen.downsample).astype(int).clip(0, (width - 1, height - 1))
    far = np.ceil((corners + size_level0) / seen.downsample).astype(int).clip(near + 1, (width, height))
    (left, top), (right, bottom) = near.T, far.T
    glass = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(glass >= BARE_PATCH * (right - left) * (bottom - top), bool)


def _density(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the optical density of white-balanced pixels against the slide's glass."""
    light = np.maximum(pixels.astype(np.float32).mean(axis=2), 1.0)
    return np.log10(np.float32(GLASS) / light)


def _noise(pixels: NDArray[np.uint8], density: NDArray[np.float32]) -> float:
    """Return the standard deviation of density on glass once it is smoothed by a px, as ``density`` is."""
    glass = density < LEAST_DENSITY
    return float(np.median(texture(_density(pixels))[glass])) / 3 if glass.any() else 0.0


def _painted(polygons: Sequence[shapely.Polygon], shape: tuple[int, ...], downsample: float) -> Mask:
    """Return the pixels of an overview that lie on polygons, level-0 px."""
    mask = np.zeros(shape[:2], np.uint8)
    for polygon in polygons:
        rings = [shapely.get_coordinates(ring) / downsample - 0.5 for ring in (polygon.exterior, *polygon.interiors)]
        cv2.fillPoly(mask, [np.round(ring).astype(np.int32) for ring in rings], 1)
    return mask.astype(bool)


def _middle(mask: Mask, downsample: float) -> tuple[float, float]:
    """Return the place, level-0 px, that is furthest inside of ``mask``."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(inside)), mask.shape)
    return float((column + 0.5) * downsample), float((row + 0.5) * downsample)
