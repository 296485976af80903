"""What decides where the patches of every slide lie."""

from dataclasses import MISSING, dataclass
from typing import Literal

from atlaspatch_core.option import check_bounds, stated

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

    patch_size: int = stated(
        MISSING,
        "Side of a patch, px at the target scale.",
        flags=("--patch-size",),
        ge=1,
        le=LARGEST_PATCH,
        unit="px",
        example=256,
        example_counts=True,
    )
    step_size: int | None = stated(
        None,
        "Distance between neighbouring patches, px at the target scale; below the patch size they overlap.",
        flags=("--step-size",),
        ge=1,
        le=LARGEST_STEP,
        unit="px",
        unset="the patch size",
        example=256,
    )
    target_mpp: float = stated(
        0.5,
        "Target scale, µm per px, instead of a magnification.",
        flags=("--target-mpp",),
        gt=0,
        le=COARSEST_MPP,
        unit="µm per px",
        example=0.5,
    )
    scale: Scale = stated(
        "true",
        "What decides the scale of a slide. true: its µm per px. nominal: the ratio of nominal magnifications, as "
        "in TRIDENT.",
        flags=("--scale",),
    )
    min_tissue: float = stated(
        0.1,
        "Least tissue share of a patch's own area, 0 to 1. The rule atlaspatch does not use it. TRIDENT's default "
        "is 0.",
        flags=("--min-tissue", "--min-tissue-proportion", "min_tissue"),
        ge=0,
        le=1,
    )
    rule: Rule = stated(
        "lattice",
        "Which patches are kept. lattice: those with enough tissue. atlaspatch: those that pass AtlasPatch's test "
        "of four points.",
        flags=("--rule",),
    )
    edge: Edge = stated(
        "pad",
        "Patches over the right or bottom edge of the slide. pad: filled with white. drop: left out.",
        flags=("--edge",),
    )

    def __post_init__(self) -> None:
        """Raise InvalidProject for a value that no slide can be cut with."""
        check_bounds(self)

    @property
    def step(self) -> int:
        """Stride, px at the target scale."""
        return self.patch_size if self.step_size is None else self.step_size

    @property
    def overlap(self) -> int:
        """px at the target scale that neighbours share; 0 where there are gaps."""
        return max(0, self.patch_size - self.step)
