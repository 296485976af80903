"""C-RADIO v2 of NVIDIA, vision transformers that learned from CLIP, SigLIP, DINOv2 and SAM at once."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Architecture, PatchEncoder, StateDict, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import NVIDIA
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.transforms import clip_transform

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "radio_model.model."
PATCHES = "patch_generator.embedder.weight"
POSITIONS = "patch_generator.pos_embed"
CLASSES = "patch_generator.cls_token.token"
SUMMARIES = 3
"""Class tokens of which the vector is made, one for each of three teachers; they stand before all others."""
SIDE = 224
"""Side of an input, px; the networks take any multiple of 16."""


@named("radio_as_timm")
def radio_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return NVIDIA's tensors by timm's names, for a network without a norm at its end.

    Their positions are those of a grid of 128 x 128 patches, of which a grid for the input is computed, linearly and
    from corner to corner. Class tokens and registers have none: timm's are the class token and seven registers. What
    turns a patch into a token adds nothing, so that timm's addend is 0.
    """
    import torch

    tensors = {name.removeprefix(MODEL): value for name, value in checkpoint.items() if name.startswith(MODEL)}
    if not {PATCHES, POSITIONS, CLASSES} <= tensors.keys():
        return tensors
    patches, positions, classes = (tensors.pop(name) for name in (PATCHES, POSITIONS, CLASSES))
    return tensors | {
        "cls_token": classes[None, :1],
        "reg_token": classes[None, 1:],
        "patch_embed.proj.weight": patches.reshape(len(patches), 3, 16, 16),
        "patch_embed.proj.bias": torch.zeros(len(patches), dtype=patches.dtype),
        "pos_embed": _of_grid(positions, SIDE // 16),
    }


def _of_grid(positions: "Tensor", side: int) -> "Tensor":
    """Return positions (1, n^2, d) of a square grid as (1, side^2, d)."""
    from math import isqrt

    from torch.nn.functional import interpolate

    own = isqrt(positions.shape[1])
    grid = positions.reshape(1, own, own, -1).permute(0, 3, 1, 2)
    return interpolate(grid, size=(side, side), mode="bilinear", align_corners=True).flatten(2).mT


@named("radio_summary")
def radio_summary(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the first class tokens (b, n, d) side by side, (b, 3d)."""
    return network(pixels)[:, :SUMMARIES].flatten(1)


@named("first_of_outputs")
def first_of_outputs(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the first of several outputs: the summary."""
    return network(pixels)[0]


def _radio(size: str, dim: int, architecture: Architecture, source: HubWeights, **more: Any) -> PatchEncoder:
    return PatchEncoder(
        name=f"c-radiov2-{size.lower()}",
        aliases=(f"c_radiov2_{size.lower()}",),
        architecture=architecture,
        source=source,
        dim=dim,
        license=NVIDIA,
        homepage=source.page,
        **more,
    )


def _built_here(size: str, model: str, dim: int) -> PatchEncoder:
    options = {"global_pool": "", "final_norm": False, "no_embed_class": True, "reg_tokens": 7}
    return _radio(
        size,
        dim,
        TimmModel(model, {**options, "patch_size": 16}),
        HubWeights(f"nvidia/C-RADIOv2-{size}"),
        transform=clip_transform(SIDE),
        pooling=radio_summary,
        adapt=radio_as_timm,
        facts="network and summary: https://github.com/NVIDIA/tao_pytorch_backend; licence: the page of the weights",
        note="Of photographs, not of tissue; class tokens of three teachers.",
    )


RADIO_G = _radio(
    "g",
    3072,
    RemoteModel(),
    HubWeights("nvidia/C-RADIOv2-g", files=None),
    transform=Transform(SIDE, SIDE, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    pooling=first_of_outputs,
    extra="hub",
    note="Of photographs, not of tissue. Needs the package open_clip_torch.",
)

RADIO = (
    _built_here("B", "vit_base_patch16_224", 2304),
    _built_here("L", "vit_large_patch16_224", 3072),
    _built_here("H", "vit_huge_patch14_224", 3840),
    RADIO_G,
)
