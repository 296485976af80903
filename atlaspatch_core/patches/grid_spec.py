"""What decides where the patches of every slide lie."""

from dataclasses import MISSING, dataclass
from typing import Literal, NamedTuple

from atlaspatch_core.option import check_bounds, stated

Scale = Literal["true", "nominal"]
Rule = Literal["lattice", "trident", "atlaspatch"]
Edge = Literal["pad", "pad-black", "drop"]
Resample = Literal["area", "bicubic", "bilinear"]
"""How pixels that were read become those of a patch where sizes differ."""
Downscale = Literal["area", "dct"]
"""How a level becomes coarser: every px is averaged, or JPEG tiles are decoded at reduced scale where that applies."""


class Habits(NamedTuple):
    """What goes with a rule where nothing else is said: the tools whose rules these are cut patches so."""

    edge: Edge
    resample: Resample


HABITS: dict[Rule, Habits] = {
    "lattice": Habits("pad", "area"),
    "trident": Habits("pad-black", "bicubic"),
    "atlaspatch": Habits("pad-black", "bilinear"),
}
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
        "Least tissue share of a patch's own area, 0 to 1. The rule atlaspatch does not use it. By the rule trident 0 "
        "keeps what touches tissue; it is TRIDENT's default.",
        flags=("--min-tissue",),
        aliases=("--min-tissue-proportion",),
        ge=0,
        le=1,
    )
    rule: Rule = stated(
        "lattice",
        "Which patches are kept. lattice: those with enough tissue. trident: those that TRIDENT keeps, which "
        "simplifies outlines first. atlaspatch: those that pass AtlasPatch's test of four points.",
        flags=("--rule",),
    )
    edge: Edge | None = stated(
        None,
        "Patches over the right or bottom edge of the slide. pad: filled with white. pad-black: filled with black, and "
        "what is transparent counts as OpenSlide's px without alpha. drop: left out.",
        flags=("--edge",),
        unset="pad by the rule lattice, pad-black by trident and atlaspatch",
        example="pad",
    )
    resample: Resample | None = stated(
        None,
        "How patches are made smaller where the slide has no level of their scale. area: every px is averaged. "
        "bicubic: Pillow's, as TRIDENT does. bilinear: OpenCV's, which leaves px out, as AtlasPatch does.",
        flags=("--resample",),
        unset="area by the rule lattice, bicubic by trident, bilinear by atlaspatch",
        example="area",
    )

    def __post_init__(self) -> None:
        """Raise InvalidProject for a value that no slide can be cut with; what is not said is as the rule has it.

        A resampling that goes without saying is not said, so that it is in no fingerprint twice.
        """
        check_bounds(self)
        habits = HABITS[self.rule]
        object.__setattr__(self, "edge", self.edge or habits.edge)
        object.__setattr__(self, "resample", None if self.resample == habits.resample else self.resample)

    @property
    def resampling(self) -> Resample:
        """How patches are made smaller."""
        return self.resample or HABITS[self.rule].resample

    @property
    def fill(self) -> int:
        """Value of px outside the slide, 0 or 255."""
        return 0 if self.edge == "pad-black" else 255

    @property
    def step(self) -> int:
        """Stride, px at the target scale."""
        return self.patch_size if self.step_size is None else self.step_size

    @property
    def overlap(self) -> int:
        """px at the target scale that neighbours share; 0 where there are gaps."""
        return max(0, self.patch_size - self.step)
