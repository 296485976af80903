"""Where the patches lie."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.scale import Sampling


@dataclass(frozen=True, slots=True)
class GridSpec:
    """A geometry: what decides the coordinates of the patches, whatever the slide. Every field is part of the fingerprint."""

    patch_size: int
    """px at the target scale."""
    step_size: int | None = None
    """Stride, px at the target scale; None is ``patch_size``."""
    target_mpp: float = 0.5
    """µm per px of a patch; 10 / magnification."""
    scale: Literal["true", "nominal"] = "true"
    """``true``: µm decide. ``nominal``: ratio of nominal magnifications (20x, 40x …), as older tools do."""
    min_tissue: float = 0.1
    """Least tissue share of a patch's full square, 0 to 1."""
    rule: Literal["lattice", "atlaspatch"] = "lattice"
    """``atlaspatch`` is AtlasPatch's four-probe test, which ignores ``min_tissue``."""
    edge: Literal["pad", "drop"] = "pad"
    """Patches over the right or bottom edge: padded white, or dropped."""


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """The patches of one slide."""

    coords: NDArray[np.int32]
    """Shape (n, 2): x, y of top-left corners, level-0 px, row by row, each once."""
    tissue_fraction: NDArray[np.float32]
    """Shape (n,): tissue share of each patch's full square, 0 to 1."""
    sampling: Sampling
