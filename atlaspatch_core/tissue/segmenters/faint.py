"""What the one threshold of a slide leaves: pale or grey pieces, each judged on its own by optical density and texture.

Beside a deep section a pale one lies below Otsu's threshold, and a grey one (silver, reticulin, an 8-bit grey slide)
has no chroma. Both are denser than the glass around them, or more coloured, and have the texture of tissue: measured at
8 µm per px, the standard deviation of optical density within 5 × 5 px is 0.08 to 0.13 of the mean density for pale
immunostains, silver and grey sections, and 0.01 to 0.02 for shadows, films, adhesive and scanner frames.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tissue.morphology import Mask, close_gaps, fill_holes, grow, pieces, thick_parts
from atlaspatch_core.tissue.segmenters.colour import GLASS, Pixels, chroma, texture

LEAST_DENSITY = 0.012
"""Optical density above the glass around it that a piece must have: 3 % less light."""
LEAST_TEXTURE = 0.04
"""Standard deviation of optical density within 5 × 5 px over the mean density, above which a piece is tissue."""
LEAST_NOISE = 0.0005
"""Of optical density: a quarter of a grey level, which JPEG leaves on glass whose noise it has swallowed."""
GLASS_ROUNDS = 3
"""How often the glass around a piece is told from the piece."""
AROUND_UM = 1500.0
"""The glass within about this of a piece is its background, µm."""
FAINT_DENSITY = 0.006
"""Mean optical density within ``FAINT_UM`` of a faint region, such as fat: walls of cells, and glass between them."""
FAINT_TEXTURE = 0.002
"""Least standard deviation of its optical density, and ``FAINT_TIMES_NOISE`` that of bare glass."""
FAINT_TIMES_NOISE = 2.0
FAINT_UM = 50.0
CORE_UM = 100.0
"""A disc of this radius fits into a piece, µm: rims of bubbles, fibres and the edges of shadows are narrower."""
GAP_UM = 16.0
"""Gaps narrower than twice this lie inside a piece, µm: between nuclei the stroma of pale tissue is as glass."""
RIM_UM = 40.0
"""Within this of tissue, ink and frames the overview mixes them with glass, µm."""

Density = NDArray[np.float32]
"""Shape (height, width): optical density above that of the glass."""


@dataclass(frozen=True, slots=True)
class FaintPieces:
    """What is denser than the glass, and no tissue by the threshold of the slide."""

    tissue: Mask
    """The pieces with the texture of tissue."""
    smooth: Mask
    """The pieces without: shadows, films, or tissue out of focus."""
    inked: Mask
    """The pieces that touch ink: what remains of strokes, or tissue below them."""
    faint: Mask
    """What is too faint to be a piece, but has texture: fat, mucus, the thinnest of sections."""
    dark: Mask
    """What is near black, off the slide's border: black ink, or tissue."""
    density: Density

    def left_out(self, downsample: float) -> dict[str, float]:
        """Return the numbers of what is no tissue here, so that a person can look.

        For ``smooth``, ``inked``, ``faint`` and ``dark`` its share of the slide, and of its largest piece the mean
        optical density and the middle, level-0 px: ``smooth_share``, ``smooth_density``, ``smooth_x``, ``smooth_y``;
        ``black_share`` and so on for ``dark``.
        """
        masks = {"smooth": self.smooth, "inked": self.inked, "faint": self.faint, "black": self.dark}
        of_each = (_largest_piece(name, mask, self.density, downsample) for name, mask in masks.items())
        return {name: number for numbers in of_each for name, number in numbers.items()}


def find_faint_pieces(
    pixels: Pixels, mpp: float, tissue: Mask, ink: Mask, black: Mask, least_chroma: float
) -> FaintPieces:
    """Return the pieces beside ``tissue`` on white-balanced ``pixels`` of ``mpp`` µm per px, and what they are.

    They are denser than the glass around them, or more coloured than ``least_chroma``, that of glass at most.
    """
    excluded = grow(tissue | ink | thick_parts(black, RIM_UM / mpp), RIM_UM / mpp)
    density = _density(pixels)
    noise = _noise(density)
    density -= _glass_density(density, excluded, AROUND_UM / mpp)
    tinted = _without_gaps(chroma(np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)) >= least_chroma, mpp)
    dense = (_dense(density, LEAST_DENSITY, noise, mpp) | tinted) & ~excluded
    dense = thick_parts(dense, CORE_UM / mpp)
    textured = _textured(dense, _relative_texture(density, noise), CORE_UM / mpp)
    smooth = dense & ~textured
    above_film = density - _film_density(density, smooth, noise)
    denser = thick_parts(_dense(above_film, 2 * LEAST_DENSITY, noise, mpp) & smooth, CORE_UM / mpp)
    on_film = _textured(denser, _relative_texture(above_film, noise), CORE_UM / mpp)
    tissue_like = textured | on_film
    inked = _touching(dense, grow(ink, 2 * RIM_UM / mpp))
    faint = _faint_regions(density, excluded | grow(dense, RIM_UM / mpp), mpp)
    dark = _off_the_border(thick_parts(black & ~ink, CORE_UM / mpp))
    return FaintPieces(tissue_like & ~inked, dense & ~tissue_like & ~inked, inked, faint, dark, density)


def _faint_regions(density: Density, excluded: Mask, mpp: float) -> Mask:
    """Return where light is missing on the whole, and unevenly, though hardly a pixel is dense."""
    sigma, rough = FAINT_UM / mpp, texture(density)
    bare = ~excluded & (density < LEAST_DENSITY)
    noise = float(np.percentile(rough[bare], 25)) if bare.any() else 0.0
    weight = np.maximum(_smooth((~excluded).astype(np.float32), sigma), 1e-3)
    mean, unevenness = (
        _smooth(np.where(excluded, np.float32(0), values), sigma) / weight for values in (density, rough)
    )
    is_faint = (mean >= FAINT_DENSITY) & (unevenness >= max(FAINT_TEXTURE, FAINT_TIMES_NOISE * noise))
    return thick_parts(is_faint & ~excluded, CORE_UM / mpp)


def _off_the_border(mask: Mask) -> Mask:
    """Return the pieces that do not meet the picture's border, as frames of scanners do."""
    border = np.ones_like(mask)
    border[1:-1, 1:-1] = False
    return mask & ~_touching(mask, border)


def _dense(density: Density, least: float, noise: float, mpp: float) -> Mask:
    """Return where density is at least ``least``, and above the noise of the glass; pale gaps are filled."""
    return _without_gaps(_smooth(density, 1.0) >= max(least, 4 * noise), mpp)


def _without_gaps(mask: Mask, mpp: float) -> Mask:
    return fill_holes(close_gaps(mask, GAP_UM / mpp), (2 * CORE_UM / mpp) ** 2)


def _film_density(density: Density, smooth: Mask, noise: float) -> Density:
    """Return for each smooth piece the mean density of its flat parts, a film's; 0 elsewhere."""
    flat = smooth & (_relative_texture(density, noise) < LEAST_TEXTURE / 2)
    labels, areas = pieces(smooth)
    total = np.bincount(labels[flat], density[flat], minlength=len(areas))
    mean = total / np.maximum(np.bincount(labels[flat], minlength=len(areas)), 1)
    mean[0] = 0
    return mean[labels].astype(np.float32)


def _density(pixels: Pixels) -> Density:
    """Return the optical density of white-balanced pixels: that of the mean of their channels against ``GLASS``."""
    light = np.maximum(pixels.astype(np.float32).mean(axis=2), 1.0)
    return np.log10(np.float32(GLASS) / light)


def _noise(density: Density) -> float:
    """Return the standard deviation of density on bare glass."""
    glass = density < LEAST_DENSITY
    return max(LEAST_NOISE, float(np.median(texture(density)[glass])) if glass.any() else 0.0)


def _glass_density(density: Density, excluded: Mask, radius: float) -> Density:
    """Return the density of the glass around each pixel: the mean of what is hardly denser than the slide's glass.

    What is denser than that mean is pale tissue rather than glass, and is left out of the next.
    """
    bare, size = (density < LEAST_DENSITY) & ~excluded, (2 * int(radius) + 1,) * 2
    glass = np.zeros_like(density)
    for _ in range(GLASS_ROUNDS):
        weight = np.maximum(cv2.blur(bare.astype(np.float32), size), 1e-3)
        glass = np.asarray(cv2.blur(np.where(bare, density, np.float32(0)), size) / weight, np.float32)
        bare &= density < glass + LEAST_DENSITY / 3
    return glass


def _relative_texture(density: Density, noise: float) -> Density:
    """Return texture over density, without what the slope of a soft shadow and the noise of the scanner make of it.

    Over 5 px a slope has twice its square as variance along each axis. Noise is the same in light, so that in optical
    density it grows with density.
    """
    smooth = _smooth(density, 3.0)
    down, across = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, ksize=1, scale=0.5) for x in (0, 1))
    expected = (1.5 * noise * np.power(10, density)) ** 2 + 2 * (down**2 + across**2)
    rough = np.sqrt(np.maximum(texture(density) ** 2 - expected, 0))
    return np.asarray(rough / np.maximum(smooth, LEAST_DENSITY), np.float32)


def _textured(dense: Mask, relative: Density, radius: float) -> Mask:
    """Return the pieces of ``dense`` that have the texture of tissue by half; of others the parts that have it.

    The median within ``radius`` does not see edges, which are narrow and have texture whatever they bound.
    """
    levels = (relative * (128 / LEAST_TEXTURE)).clip(0, 255).astype(np.uint8)
    rough = cv2.medianBlur(levels, min(2 * int(radius) + 1, 255)) >= 128
    labels, areas = pieces(dense)
    whole = np.bincount(labels[rough & dense], minlength=len(areas)) >= 0.5 * areas
    whole[0] = False
    return whole[labels] | thick_parts(rough & dense, radius)


def _smooth(density: Density, sigma: float) -> Density:
    return np.asarray(cv2.GaussianBlur(density, (0, 0), sigma), np.float32)


def _touching(mask: Mask, other: Mask) -> Mask:
    """Return the pieces of ``mask`` that meet ``other``."""
    labels, areas = pieces(mask)
    return (np.bincount(labels[other & mask], minlength=len(areas)) > 0)[labels] & mask


def _largest_piece(name: str, mask: Mask, density: Density, downsample: float) -> dict[str, float]:
    """Return the share of ``mask``, and density and middle of its largest piece."""
    if not mask.any():
        return {f"{name}_share": 0.0}
    labels, areas = pieces(mask)
    piece = labels == 1 + int(np.argmax(areas[1:]))
    y, x = (float(np.mean(axis) * downsample) for axis in np.nonzero(piece))
    numbers = {"share": float(mask.mean()), "density": float(density[piece].mean()), "x": x, "y": y}
    return {f"{name}_{key}": value for key, value in numbers.items()}
