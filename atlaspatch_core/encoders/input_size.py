"""Vision transformers at another size of their input than the one they were trained with."""

import re
from dataclasses import replace

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.preprocessing import input_side
from atlaspatch_core.errors import GeometryMismatch

TRANSFORMER = re.compile(r"(?:vit|eva)\w*?_patch(\d+)")
"""Names of timm's vision transformers, with the side of what they call a patch, px."""


def with_input_size(encoder: PatchEncoder, side: int | None) -> PatchEncoder:
    """Return the encoder for inputs of ``side`` px; as it is where None is asked for, or it takes them already.

    The position embeddings are interpolated to the larger or smaller grid (bicubic, antialiased, as timm does it when
    the image size is dynamic); the weights stay. Raises GeometryMismatch for an encoder that is no vision transformer
    of timm, and for a side that its patches do not divide.
    """
    transform = encoder.transform
    if side is None or input_side(transform) == side:
        return encoder
    token = token_size(encoder)
    if token is None or transform is None:
        raise GeometryMismatch(
            f"{encoder.name}: takes images of its own size only; leave out --patch-encoder-img-size, which vision "
            "transformers of timm can obey"
        )
    if side < 1 or side % token:
        raise GeometryMismatch(
            f"{encoder.name}: an image of {side} px is no multiple of its {token} px; give "
            f"{' or '.join(map(str, _near(side, token)))}"
        )
    assert isinstance(encoder.architecture, TimmModel)
    architecture = replace(encoder.architecture, options={**encoder.architecture.options, "dynamic_img_size": True})
    return replace(encoder, architecture=architecture, transform=replace(transform, resize=side, crop=side))


def token_size(encoder: PatchEncoder) -> int | None:
    """Return the side of what a vision transformer cuts images into, px; None for other networks."""
    architecture = encoder.architecture
    match = TRANSFORMER.match(architecture.name) if isinstance(architecture, TimmModel) else None
    if match is None or not isinstance(architecture, TimmModel):
        return None
    return int(architecture.options.get("patch_size", match[1]))


def _near(side: int, token: int) -> list[int]:
    """Return the multiples of ``token`` on both sides of ``side``, above 0."""
    below = side // token * token
    return [size for size in (below, below + token) if size > 0]
