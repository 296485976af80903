"""Transforms that several encoders share. A patch is square, so that shorter side and both sides are one."""

from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, Transform

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

IMAGENET_224 = Transform(224, 224, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
IMAGENET_224_BICUBIC = Transform(224, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD)
IMAGENET_256_224_BICUBIC = Transform(256, 224, "bicubic", IMAGENET_MEAN, IMAGENET_STD)


def clip_transform(side: int) -> Transform:
    """Return the transform of OpenAI's CLIP for an input of this side, px."""
    return Transform(side, side, "bicubic", CLIP_MEAN, CLIP_STD)
