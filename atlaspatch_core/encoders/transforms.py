"""How a patch becomes the input of a network: the declaration, and those that several encoders share."""

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Transform:
    """How a uint8 RGB patch becomes the input of a model: resize, crop the centre, scale to 0..1, normalise.

    Equal transforms are computed once for all encoders that share them.
    """

    resize: int | None
    """Length that the shorter side gets, px; None leaves the patch as it is."""
    crop: int | None
    """Side of the centred square, px; None crops nothing."""
    interpolation: Interpolation
    mean: tuple[float, float, float]
    """Per channel, on the scale 0..1."""
    std: tuple[float, float, float]
    """Per channel, on the scale 0..1."""
    antialias: bool = True
    """Whether shrinking averages over all pixels, as PIL does."""

    def __post_init__(self) -> None:
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is bilinear or bicubic, not {self.interpolation}")
        if min(self.std) <= 0:
            raise ValueError(f"std is positive, not {self.std}")
        if any(side is not None and side < 1 for side in (self.resize, self.crop)):
            raise ValueError(f"resize and crop are at least 1 px, not {self.resize} and {self.crop}")


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

IMAGENET_224 = Transform(224, 224, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
IMAGENET_224_BICUBIC = Transform(224, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD)
IMAGENET_256_224_BICUBIC = Transform(256, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD)


def clip_transform(side: int) -> Transform:
    """Return the transform of OpenAI's CLIP for an input of this side, px."""
    return Transform(side, side, "bicubic", CLIP_MEAN, CLIP_STD)
