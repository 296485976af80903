"""What is declared of every encoder, be it of patches or of slides."""

import re
from dataclasses import dataclass
from typing import Any

from atlaspatch_core.encoders.declared_parts import Adapt, as_published
from atlaspatch_core.encoders.precision import Precision

MPP_OF_1X = 10.0
"""µm/px at 1x: 20x is 0.5 µm/px."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What is declared of every encoder."""

    name: str
    """Name of the dataset in the slide's file, and on the command line."""
    dim: int | None
    """Length of its vectors; None where it is asked of a network."""
    adapt: Adapt = as_published
    precision: Precision = "float32"
    """Precision that its makers use."""
    license: str
    """SPDX name, or the licence's own name where it has none."""
    gated: bool = False
    """Whether the weights are given out on request only."""
    aliases: tuple[str, ...] = ()
    patch_size: int | None = None
    """Side of the patches it was made for, px; None when any will do."""
    magnification: float | None = None
    """Magnification it was made for, 20 for 20x; None when any will do."""
    mpp: tuple[float, float] | None = None
    """Smallest and largest µm/px it was made for, where that is more than its magnification."""
    extra: str | None = None
    """Optional dependency group of this package that it needs."""
    homepage: str = ""
    note: str = ""
    """One sentence for whoever chooses an encoder."""
    facts: str = ""
    """Where dim, geometry, normalisation and licence were read, where that is not the homepage alone."""
    plugin: str | None = None
    """sha256 of the plugin file that declares it."""

    def __post_init__(self) -> None:
        for word in (self.name, *self.aliases):
            if not _NAME.fullmatch(word):
                raise ValueError(f"an encoder's name has letters, digits and . _ + - only, not {word!r}")
        if self.dim is not None and self.dim < 1:
            raise ValueError(f"{self.name}: dim is at least 1, not {self.dim}")
        if self.precision not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"{self.name}: precision is float32, float16 or bfloat16, not {self.precision}")
        if self.mpp is not None and not 0 < self.mpp[0] <= self.mpp[1]:
            raise ValueError(f"{self.name}: mpp is the smallest and the largest µm/px, not {self.mpp}")

    @property
    def scales(self) -> tuple[float, float] | None:
        """Return the smallest and the largest µm/px it was made for; None when any will do."""
        if self.mpp is not None or self.magnification is None:
            return self.mpp
        mpp = MPP_OF_1X / self.magnification
        return mpp, mpp


def plugin_spec(sha256: str | None) -> dict[str, Any]:
    """Return what an identity says of the plugin that declares an encoder: nothing of one of this package."""
    return {} if sha256 is None else {"plugin": sha256}
