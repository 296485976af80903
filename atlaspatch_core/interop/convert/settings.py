"""What decides a converted file."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from atlaspatch_core.errors import InvalidProject

Compression = Literal["jpeg", "deflate"]
"""What libvips writes and OpenSlide reads back: not JPEG 2000, WebP, Zstandard or JPEG XL in a plain TIFF."""

TILE = 256
"""Side of a tile, px."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How slides are converted."""

    compression: Compression = "jpeg"
    """``deflate`` loses nothing, and takes several times the space."""
    quality: int = 90
    """Of JPEG, 1 to 100; from 90 on colours are kept at full resolution."""
    downscale: float = 1.0
    """px of the slide per px of the result, ≥ 1."""

    def __post_init__(self) -> None:
        """Raise InvalidProject for a value that cannot be used."""
        _require(self.compression in get_args(Compression), "compression", self.compression, "jpeg or deflate")
        _require(1 <= self.quality <= 100, "quality", self.quality, "1 to 100")
        _require(1 <= self.downscale < math.inf, "downscale-by", self.downscale, "1 or more")

    def spec(self) -> dict[str, Any]:
        """Return what decides the pixels, fit for JSON."""
        values = asdict(self) | {"tile": TILE}
        return values if self.compression == "jpeg" else values | {"quality": None}


def _require(holds: bool, name: str, value: object, bound: str) -> None:
    if not holds:
        raise InvalidProject(f"{name} is {value}: give {bound}")
