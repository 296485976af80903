"""Where the patches lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.probes import Ring, probe_grid
from atlaspatch_core.scale import Sampling, choose_sampling
from atlaspatch_core.slide import SlideInfo
from atlaspatch_core.tissue import TissueMask

Scale = Literal["true", "nominal"]
Rule = Literal["lattice", "atlaspatch"]
Edge = Literal["pad", "drop"]
LARGEST_PATCH = 65_536
"""px at the target scale. A batch of one such patch has 12.9 GB."""
LARGEST_STEP = 1_000_000
COARSEST_MPP = 1000.0
"""µm per px, or 0.01x: with the largest patch at the finest scan, corners and sizes still fit 32 bits."""


@dataclass(frozen=True, slots=True)
class GridSpec:
    """A geometry: what decides where patches lie, whatever the slide. Every field is part of the fingerprint."""

    patch_size: int
    """px at the target scale."""
    step_size: int | None = None
    """Stride, px at the target scale; None is ``patch_size``."""
    target_mpp: float = 0.5
    """µm per px of a patch; 10 / magnification."""
    scale: Scale = "true"
    """``true``: µm decide. ``nominal``: ratio of nominal magnifications (20x, 40x …), as older tools do."""
    min_tissue: float = 0.1
    """Least tissue share of a patch's full square, 0 to 1; 0 keeps every patch with any tissue."""
    rule: Rule = "lattice"
    """``atlaspatch`` is AtlasPatch's four-probe test, which ignores ``min_tissue``."""
    edge: Edge = "pad"
    """Patches over the right or bottom edge: padded white, or dropped."""

    def __post_init__(self) -> None:
        """Raise InvalidProject for a value that no slide can be cut with."""
        _require(1 <= self.patch_size <= LARGEST_PATCH, "patch_size", self.patch_size, f"1 to {LARGEST_PATCH:,} px")
        is_step = self.step_size is None or 1 <= self.step_size <= LARGEST_STEP
        _require(is_step, "step_size", self.step_size, f"1 to {LARGEST_STEP:,} px, or leave it out")
        is_mpp = 0 < self.target_mpp <= COARSEST_MPP
        _require(is_mpp, "target_mpp", self.target_mpp, f"a number of µm/px above 0, at most {COARSEST_MPP:g}")
        _require(0 <= self.min_tissue <= 1, "min_tissue", self.min_tissue, "a share from 0 to 1")
        for field, kind in (("scale", Scale), ("rule", Rule), ("edge", Edge)):
            value = getattr(self, field)
            _require(value in get_args(kind), field, value, " or ".join(get_args(kind)))

    @property
    def step(self) -> int:
        """Stride, px at the target scale."""
        return self.patch_size if self.step_size is None else self.step_size

    @property
    def overlap(self) -> int:
        """px at the target scale that neighbours share; 0 where there are gaps."""
        return max(0, self.patch_size - self.step)


def _require(holds: bool, field: str, value: object, bound: str) -> None:
    if not holds:
        raise InvalidProject(f"{field} is {value}: give {bound}")


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

    def __post_init__(self) -> None:
        """Raise ValueError when the arrays are no coordinates with their tissue shares."""
        if self.coords.shape != (len(self.tissue_fraction), 2) or self.tissue_fraction.ndim != 1:
            raise ValueError(f"coords {self.coords.shape} and tissue_fraction {self.tissue_fraction.shape} do not pair")

    def __len__(self) -> int:
        return len(self.coords)


def lay_grid(info: SlideInfo, polygons: Sequence[Polygon], spec: GridSpec) -> PatchGrid:
    """Choose the patches of a slide whose tissue the polygons outline, level-0 px.

    Patches lie on one lattice from (0, 0) over the whole slide, so that each occurs once however many pieces of tissue
    touch it. Rule ``lattice`` keeps those whose full square has a tissue share of ``min_tissue`` or more, and none
    without tissue; rule ``atlaspatch`` is ``probe_grid`` on the rings, corners truncated to whole px.
    Raises FinerThanScanned when the slide has not the detail.
    """
    sampling = choose_sampling(info, spec)
    size = sampling.patch_size_level0
    tissue = TissueMask.from_polygons(polygons, info.width, info.height)
    if spec.rule == "atlaspatch":
        corners = probe_grid(_rings(polygons), sampling, info.width, info.height)
    else:
        corners = _near(polygons, sampling, info.width, info.height)
    if spec.edge == "drop":
        corners = corners[(corners + size <= (info.width, info.height)).all(axis=1)]
    fraction = tissue.coverage(corners, size)
    if spec.rule == "lattice":
        kept = (fraction >= np.float32(spec.min_tissue)) & (fraction > 0)
        corners, fraction = corners[kept], fraction[kept]
    return PatchGrid(corners, fraction, sampling)


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


def _rings(polygons: Sequence[Polygon]) -> list[tuple[Ring, list[Ring]]]:
    """Return the exterior and the holes of each polygon, whole px."""
    return [
        (_ring(polygon.exterior.coords), [_ring(hole.coords) for hole in polygon.interiors])
        for polygon in polygons
        if not polygon.is_empty
    ]


def _ring(coords: object) -> Ring:
    """Return the corners of a closed ring without the repeated last one."""
    return np.asarray(coords)[:-1, :2].astype(np.int32)
