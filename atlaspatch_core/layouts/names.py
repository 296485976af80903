"""What folders of results are called."""

import re
from dataclasses import dataclass
from typing import Self

_GEOMETRY = re.compile(r"(\d+(?:\.\d+)?)x_(\d+)px_(\d+)px_overlap")


@dataclass(frozen=True, slots=True)
class GeometryName:
    """What the name of a folder such as ``20x_256px_0px_overlap`` says of the patches in it."""

    magnification: float
    """Of the patches; 20 for 20x."""
    patch_size: int
    """px at that magnification."""
    overlap: int
    """px at that magnification that neighbours share."""

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return what a name says; None where it is no such name."""
        match = _GEOMETRY.fullmatch(name)
        return cls(float(match[1]), int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.magnification:g}x_{self.patch_size}px_{self.overlap}px_overlap"
