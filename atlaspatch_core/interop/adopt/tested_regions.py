"""Outlines from which AtlasPatch's test of four points gives patches that overlap.

They share points, so what covers the wanted ones covers points of others, too.
"""

from collections.abc import Iterator

import numpy as np
import shapely

from atlaspatch_core.interop.adopt.foreign_slide import Corners


def tested_regions(corners: Corners, side: int) -> Iterator[shapely.Geometry]:
    """Yield regions that have points of wanted patches, shape (n, 2), and none of patches that are not wanted.

    In the second, others all of whose points are those of wanted patches are kept out by a hole at their centre, for
    which the test asks, too.
    """
    step = int(np.gcd.reduce(corners, axis=None)) or side
    others = without(neighbours(corners, side, step), corners)
    wanted_points, other_points = four_points(corners, side), four_points(others, side)
    apart = 2 * (side // 4) % step
    reach = (min(apart, step - apart) or step) // 2
    yield squares(without(wanted_points, other_points), reach)
    is_inside = np.isin(keys(other_points), keys(wanted_points)).reshape(-1, 4).all(axis=1)
    points = without(wanted_points, four_points(others[~is_inside], side))
    yield shapely.difference(squares(points, reach), squares(others[is_inside] + side // 2, step // 2))


def neighbours(corners: Corners, side: int, step: int) -> Corners:
    """Return the patches of the lattice that share points with some, and these."""
    offsets = np.arange(-(side // step) - 1, side // step + 2) * step
    around = np.stack(np.meshgrid(offsets, offsets), axis=2).reshape(1, -1, 2)
    near = (corners[:, None] + around).reshape(-1, 2)
    return near[(near >= 0).all(axis=1)]


def four_points(corners: Corners, side: int) -> Corners:
    """Return the points of the test, four of each patch."""
    centre, shift = side // 2, side // 4
    around = [(centre + dx, centre + dy) for dx in (-shift, shift) for dy in (-shift, shift)]
    return (corners[:, None] + np.array(around)[None]).reshape(-1, 2)


def without(points: Corners, others: Corners) -> Corners:
    """Return the points, each once, that are not among the others."""
    points = np.unique(points, axis=0)
    return points[~np.isin(keys(points), keys(others))]


def keys(points: Corners) -> Corners:
    """Return a number for each point."""
    return points @ (1 << 32, 1)


def squares(points: Corners, reach: int) -> shapely.Geometry:
    """Return the union of squares round points."""
    x, y = points.T
    return shapely.union_all(shapely.box(x - reach, y - reach, x + reach, y + reach))
