"""What decides where the patches of every slide lie."""

from dataclasses import dataclass
from typing import Literal, get_args

from atlaspatch_core.errors import InvalidProject

Scale = Literal["true", "nominal"]
Rule = Literal["lattice", "atlaspatch"]
Edge = Literal["pad", "drop"]
Downscale = Literal["area", "dct"]
"""How a level becomes coarser: every px is averaged, or JPEG tiles are decoded at reduced scale where that applies."""
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
