"""iSight of the Nirschl Lab, OpenAI's CLIP tuned on immunohistochemistry (IHC)."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Output, PatchEncoder, StateDict
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import UNVERIFIED
from atlaspatch_core.encoders.pooling import class_token
from atlaspatch_core.encoders.transforms import clip_transform

if TYPE_CHECKING:
    from torch import Tensor

TOWER = "patch_encoder.vision_model."
PROJECTION = "visual_token_projection."
PARTS = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding.weight": "pos_embed",
    "embeddings.patch_embedding": "patch_embed.proj",
    "pre_layrnorm": "norm_pre",
    "encoder.layers": "blocks",
    "layer_norm": "norm",
    "self_attn.out_proj": "attn.proj",
}
"""Parts of the names of transformers, and timm's for them."""


@named("isight_as_timm")
def isight_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the image tower and the projection of its tokens, of a checkpoint of the whole classifier of cores.

    Its norm of the class token, which its makers do not use, is left out, as are text tower and classifiers.
    """
    tower = {
        name.removeprefix(TOWER): value
        for name, value in checkpoint.items()
        if name.startswith(TOWER) and "post_layernorm" not in name and not name.endswith("position_ids")
    }
    tensors = {_timm_name(name): value for name, value in _with_joined_attention(tower).items()}
    for name in tensors.keys() & {"cls_token", "pos_embed"}:
        tensors[name] = tensors[name].reshape(1, -1, tensors[name].shape[-1])
    head = {name: value for name, value in checkpoint.items() if name.startswith(PROJECTION)}
    return tensors | {f"head.{name.removeprefix(PROJECTION)}": value for name, value in head.items()}


def _with_joined_attention(tensors: StateDict) -> StateDict:
    """Return the tensors with those of query, key and value as one."""
    import torch

    joined = dict(tensors)
    for name in tensors:
        if ".q_proj." in name:
            three = [joined.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
            joined[name.replace("self_attn.q_proj", "attn.qkv")] = torch.cat(three)
    return joined


def _timm_name(name: str) -> str:
    for old, new in PARTS.items():
        name = name.replace(old, new)
    return name


@named("mean_of_tokens")
def mean_of_tokens(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the mean of all tokens (b, n, d), the class token among them."""
    return network(pixels).mean(1)


ISIGHT = PatchEncoder(
    name="isight",
    architecture=TimmModel(
        "vit_large_patch14_clip_quickgelu_336", {"num_classes": 1024, "global_pool": "", "final_norm": False}
    ),
    source=HubWeights("nirschl-lab/iSight", ("checkpoints/iSight_model_checkpoint.pth",)),
    dim=1024,
    transform=clip_transform(336),
    pooling=mean_of_tokens,
    output="mean",
    outputs=(Output(word="class", name="isight_cls", dim=1024, pooling=class_token, note="For IHC; class token."),),
    adapt=isight_as_timm,
    precision="float16",
    license=UNVERIFIED,
    patch_size=336,
    magnification=20,
    homepage="https://huggingface.co/nirschl-lab/iSight",
    facts="pooling: code of https://github.com/zhihuanglab/iSight; scale: that of the Human Protein Atlas",
    note="For immunohistochemistry; mean of all tokens.",
)
