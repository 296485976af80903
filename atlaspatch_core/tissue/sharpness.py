"""How sharp pixels are, without weights: the share of fine detail in their contrast, at 1 µm per px."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.quality import BLURRED_BELOW
from atlaspatch_core.tissue.segmenters.scaled import read_square, scale_to

SEEN_AT = 1.0
"""Scale at which sharpness is measured, µm per px: 10x. Detail of 2 µm and more counts."""
FLAT = 4.0
"""Standard deviation of gray values below which there is nothing to be sharp or blurred, of 255."""
WINDOW = 128
"""Side of a window that stands for the tissue round it, px: 128 µm."""
WINDOWS = 32
"""Windows of a slide, at most."""
THREADS = 8
"""Windows read at once: storage may answer late. Speed only."""


def sharpness(pixels: NDArray[np.uint8], mpp: float) -> float:
    """Return the variance of the Laplacian over the variance of the gray values; nan where the pixels are flat.

    ``pixels``: RGB, shape (h, w, 3), of ``mpp`` µm per px; finer ones are averaged to ``SEEN_AT`` first, coarser ones
    taken as they are. Unlike the Laplacian's variance alone it does not call pale stain blurred.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    side = tuple(max(3, round(length * mpp / SEEN_AT)) for length in gray.shape[::-1])
    if mpp < SEEN_AT:
        gray = cv2.resize(gray, side, interpolation=cv2.INTER_AREA)
    values = np.asarray(gray, np.float32)
    spread = float(values.var())
    return float(cv2.Laplacian(values, cv2.CV_32F).var()) / spread if spread >= FLAT**2 else float("nan")


def blur_share(slide: Slide, polygons: Sequence[shapely.Polygon]) -> dict[str, float]:
    """Return ``blur_share``: the share of sampled windows of tissue that are blurred; empty where none can be judged.

    At most ``WINDOWS`` windows of 128 µm are read, evenly spread over the tissue, always the same ones.
    Raises UnreadableSlide when pixels cannot be decoded.
    """
    scale = scale_to(slide.info, SEEN_AT)
    with ThreadPoolExecutor(THREADS) as pool:
        places = _windows(polygons, scale.downsample)
        windows = pool.map(lambda place: read_square(slide, scale, place[0], place[1], WINDOW), places)
        sharpnesses = [sharpness(window, SEEN_AT) for window in windows]
    measured = [value for value in sharpnesses if not np.isnan(value)]
    return {"blur_share": float(np.mean([value < BLURRED_BELOW for value in measured]))} if measured else {}


def _windows(polygons: Sequence[shapely.Polygon], downsample: float) -> list[tuple[int, int]]:
    """Return x, y of windows whose centre is tissue, px at ``SEEN_AT``: every k-th of a lattice over the tissue."""
    if not polygons:
        return []
    whole = shapely.MultiPolygon(list(polygons))
    left, top, right, bottom = whole.bounds
    side = max(WINDOW * downsample, (whole.area / (4 * WINDOWS)) ** 0.5)
    x, y = np.meshgrid(np.arange(left + side / 2, right, side), np.arange(top + side / 2, bottom, side))
    shapely.prepare(whole)
    inside = shapely.contains_xy(whole, x, y)
    centres = np.column_stack([x[inside], y[inside]])
    if not len(centres):
        centres = np.array([shapely.get_coordinates(piece.representative_point())[0] for piece in polygons])
    chosen = centres[np.linspace(0, len(centres) - 1, min(WINDOWS, len(centres))).round().astype(int)]
    corners = np.maximum(np.round(chosen / downsample - WINDOW / 2), 0).astype(int)
    return [(x, y) for x, y in corners.tolist()]
