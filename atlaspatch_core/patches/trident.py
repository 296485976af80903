"""The rule by which TRIDENT chooses patches: it simplifies outlines, and keeps the squares that they touch."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.patches.scale import Sampling

COARSENING = 0.25
"""Outlines are simplified by this share of the patch size at the target scale, taken for level-0 px."""


def choose_trident(
    corners: NDArray[np.int32], sampling: Sampling, polygons: Sequence[shapely.Polygon], min_tissue: float
) -> NDArray[np.bool_]:
    """Tell which squares TRIDENT keeps, shape (n,): all that touch tissue, or with ``min_tissue`` have such a share.

    ``corners``: (n, 2), x, y of top-left corners, as the outlines in level-0 px. The share is one of the whole square,
    wherever it lies.
    """
    size = sampling.patch_size_level0
    tissue = _simplified(polygons, sampling)
    shapely.prepare(tissue)
    squares = shapely.box(*corners.T, *(corners + size).T)
    touched = np.asarray(shapely.intersects(tissue, squares), bool)
    if min_tissue > 0:
        areas = shapely.area(shapely.intersection(squares[touched], tissue))
        touched[touched] = areas >= min_tissue * float(size) ** 2
    return touched


def trident_shares(
    corners: NDArray[np.int32], sampling: Sampling, polygons: Sequence[shapely.Polygon]
) -> NDArray[np.float64]:
    """Return the tissue shares that ``choose_trident`` compares with ``min_tissue``, shape (n,), 0 to 1."""
    size = sampling.patch_size_level0
    squares = shapely.box(*corners.T, *(corners + size).T)
    return shapely.area(shapely.intersection(squares, _simplified(polygons, sampling))) / float(size) ** 2


def _simplified(polygons: Sequence[shapely.Polygon], sampling: Sampling) -> shapely.Geometry:
    """Return all tissue as TRIDENT sees it."""
    tolerance = COARSENING * sampling.patch_size
    return shapely.union_all(shapely.simplify(np.array(polygons, object), tolerance, preserve_topology=True))
