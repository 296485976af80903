"""Where the patches lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.patches.probes import Contours, Ring, probe_grid
from atlaspatch_core.patches.scale import Sampling, choose_sampling
from atlaspatch_core.patches.trident import choose_trident
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.contours import first_point
from atlaspatch_core.tissue.mask import TissueMask


@dataclass(frozen=True, slots=True, eq=False)
class PatchGrid:
    """The patches of one slide."""

    coords: NDArray[np.int32]
    """Shape (n, 2): x, y of top-left corners, level-0 px, row by row, each once.

    By the rule ``atlaspatch``: contour by contour, each row by row, each once.
    """
    tissue_fraction: NDArray[np.float32]
    """Shape (n,): tissue share of each patch's full square, 0 to 1."""
    sampling: Sampling
    target_mpp: float | None = None
    """Scale that was asked for, µm per px; None where that is not known, and the sampling's is taken for it."""

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays are no coordinates with their tissue shares."""
        if self.coords.shape != (len(self.tissue_fraction), 2) or self.tissue_fraction.ndim != 1:
            raise ValueError(f"coords {self.coords.shape} and tissue_fraction {self.tissue_fraction.shape} do not pair")

    @property
    def scale(self) -> float:
        """µm per px that encoders are told of: the one that was asked for."""
        return self.sampling.mpp if self.target_mpp is None else self.target_mpp

    def __len__(self) -> int:
        return len(self.coords)

    def __repr__(self) -> str:
        side, mpp, level0 = self.sampling.patch_size, self.sampling.mpp, self.sampling.patch_size_level0
        noun = "patch" if len(self) == 1 else "patches"
        return f"<{len(self)} {noun} of {side} px at {mpp:.4g} µm/px, {level0} level-0 px wide>"


def lay_grid(
    info: SlideInfo, polygons: Sequence[Polygon], spec: GridSpec, contours: Sequence[Contours] | None = None
) -> PatchGrid:
    """Choose the patches of a slide whose tissue the polygons outline, level-0 px.

    Patches lie on one lattice from (0, 0) over the whole slide, so that each occurs once however many pieces of tissue
    touch it. Rule ``lattice`` keeps those whose full square has a tissue share of ``min_tissue`` or more, and none
    without tissue; rule ``trident`` is ``choose_trident``; rule ``atlaspatch`` is ``probe_grid`` on ``contours``.

    Args:
        info: The slide's size in level-0 px, its levels and its µm/px.
        polygons: Outlines of tissue with holes, level-0 px; they may overlap. By the rule ``trident`` as they were
            drawn, corner for corner.
        spec: Side and stride in px at the target µm/px, least tissue share (0 to 1), and the rule.
        contours: What AtlasPatch drew around the same tissue; by default the outlines, truncated to whole px.

    Returns:
        Corners, int32 (n, 2), level-0 px, with the tissue share of each, float32 (n,), 0 to 1; n may be 0.

    Raises:
        FinerThanScanned: The slide has not the detail.

    Example:
        >>> from shapely import box
        >>> grid = lay_grid(slide.info, [box(0, 0, 600, 256)], GridSpec(patch_size=256, min_tissue=0.2))
        >>> grid.coords.tolist()
        [[0, 0], [256, 0], [512, 0]]
        >>> grid.tissue_fraction, grid.sampling.patch_size_level0
        (array([1.     , 1.     , 0.34375], dtype=float32), 256)
    """
    sampling = choose_sampling(info, spec)
    size = sampling.patch_size_level0
    tissue = TissueMask.from_polygons(polygons, info.width, info.height)
    if spec.rule == "atlaspatch":
        drawn = rings_of(polygons) if contours is None else contours
        corners = probe_grid(drawn, sampling, info.width, info.height)
    else:
        corners = _near(polygons, sampling, info.width, info.height)
    if spec.rule == "trident" and len(corners):
        corners = corners[choose_trident(corners, sampling, polygons, spec.min_tissue)]
    if spec.edge == "drop":
        corners = corners[(corners + size <= (info.width, info.height)).all(axis=1)]
    fraction = tissue.coverage(corners, size)
    if spec.rule == "lattice":
        is_tissue = (fraction >= np.float32(spec.min_tissue)) & (fraction > 0)
        corners, fraction = corners[is_tissue], fraction[is_tissue]
    return PatchGrid(corners, fraction, sampling, spec.target_mpp)


def coords5(grid: PatchGrid) -> NDArray[np.int32]:
    """Return the rows to store, shape (n, 5): x, y (level-0 px), width and height to read (px of level), level."""
    read = (grid.sampling.read_size, grid.sampling.read_size, grid.sampling.level)
    return np.hstack([grid.coords, np.tile(np.array(read, np.int32), (len(grid), 1))])


def _near(polygons: Sequence[Polygon], sampling: Sampling, width: int, height: int) -> NDArray[np.int32]:
    """Return the lattice squares that touch the bounding box of a polygon: x, y, shape (n, 2), row by row."""
    size, step = sampling.patch_size_level0, sampling.step_size_level0
    shape = (-(-height // step), -(-width // step))
    near = np.zeros(shape, dtype=bool)
    bounds = shapely.bounds([polygon for polygon in polygons if not polygon.is_empty]).reshape(-1, 4)
    first = np.maximum((bounds[:, :2] - size) // step, 0).astype(np.int64)
    end = np.maximum(bounds[:, 2:] // step + 1, 0).astype(np.int64)
    for (left, top), (right, bottom) in zip(first, end, strict=True):
        near[top:bottom, left:right] = True
    return (np.argwhere(near)[:, ::-1] * step).astype(np.int32)


def rings_of(polygons: Sequence[Polygon]) -> list[Contours]:
    """Return the exterior and the holes of each polygon, whole px, in the order in which OpenCV finds contours."""
    rings = [
        (_ring(polygon.exterior.coords), [_ring(hole.coords) for hole in polygon.interiors])
        for polygon in polygons
        if not polygon.is_empty
    ]
    return sorted(rings, key=lambda contours: first_point(contours[0]), reverse=True)


def _ring(coords: object) -> Ring:
    """Return the corners of a closed ring without the repeated last one."""
    return np.asarray(coords)[:-1, :2].astype(np.int32)
