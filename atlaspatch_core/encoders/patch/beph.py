"""BEPH of the Yu Lab, a BEiT v2 trained on TCGA."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, StateDict, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.licenses import MIT
from atlaspatch_core.encoders.weights import NotGiven, local_copy

PAGE = "https://github.com/Zhcyoung/BEPH"
PARTS = (
    ("patch_embed.projection.", "patch_embed.proj."),
    (".ln1.", ".norm1."),
    (".ln2.", ".norm2."),
    (".ffn.layers.0.0.", ".mlp.fc1."),
    (".ffn.layers.1.", ".mlp.fc2."),
)
"""Parts of OpenMMLab's names, and timm's for them."""
TABLE = "rel_pos_bias.relative_position_bias_table"
LEFT_OUT = ("mask_token", "relative_position_index")
"""Ends of names of what training alone needs, and of what the network computes itself."""


@named("beph_as_timm")
def beph_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:
    """Return OpenMMLab's BEiT v2 by timm's names, without the heads of training.

    The table of relative positions that all layers share is given to each. The norm behind the mean of the patch
    tokens was never trained: where the checkpoint has none, it scales by 1 and adds 0, as its authors take it.
    """
    import torch

    backbone = {name: value for name, value in checkpoint.items() if name.startswith("backbone.")}
    tensors = {_timm_name(name): value for name, value in (backbone or checkpoint).items()}
    table = tensors.pop(TABLE, None)
    if table is not None:
        tensors |= {name: table for name in network if name.endswith("attn.relative_position_bias_table")}
    norm = {"fc_norm.weight": torch.ones_like, "fc_norm.bias": torch.zeros_like}
    untrained = {name: make(network[name]) for name, make in norm.items() if name in network}
    return untrained | {name: value for name, value in tensors.items() if not name.endswith(LEFT_OUT)}


def _timm_name(name: str) -> str:
    name = name.removeprefix("backbone.")
    name = f"blocks.{name.removeprefix('layers.')}" if name.startswith("layers.") else name
    for old, new in PARTS:
        name = name.replace(old, new)
    return name


BEPH = PatchEncoder(
    name="beph",
    architecture=TimmModel("beitv2_base_patch16_224"),
    source=NotGiven(f"get BEPH_backbone.pth from the drive that {PAGE} names, and name it: {local_copy('beph')}"),
    dim=768,
    transform=Transform(
        224,
        224,
        "bilinear",
        (189.78929696867084 / 255, 128.24523960459152 / 255, 175.1775062798947 / 255),
        (38.39398676131772 / 255, 45.25197621706431 / 255, 32.21307843285958 / 255),
    ),
    adapt=beph_as_timm,
    license=MIT,
    patch_size=224,
    magnification=40,
    homepage=PAGE,
    facts="network, pooling and normalisation: mmselfsup/configs/tsne/beitv2_base.py of its page",
    note="Mean of patch tokens.",
)
