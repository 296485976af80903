"""PathoDuet, one network for H&E and one for immunohistochemistry (IHC)."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, StateDict, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.licenses import CC_BY_NC
from atlaspatch_core.encoders.weights import NotGiven, local_copy

PAGE = "https://github.com/openmedlab/PathoDuet"
AS_IT_IS = Transform(256, 224, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Values between 0 and 1: its authors normalise nothing."""


@named("pathoduet_as_timm")
def pathoduet_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the checkpoint with its pretext token, which stands before the class token, as timm's one register.

    timm's register stands behind the class token, so that their places in the position embedding are exchanged: their
    order decides nothing else. The heads of training are left out.
    """
    import torch

    tensors = {name: value for name, value in checkpoint.items() if not name.startswith("head.")}
    if "pretext_token" not in tensors or "pos_embed" not in tensors:
        return tensors
    positions = tensors["pos_embed"]
    swapped = torch.cat([positions[:, 1:2], positions[:, :1], positions[:, 2:]], dim=1)
    pretext = tensors.pop("pretext_token")
    return {**tensors, "reg_token": pretext, "pos_embed": swapped}


def _pathoduet(stain: str, note: str) -> PatchEncoder:
    name = f"pathoduet-{stain.lower()}"
    cure = f"get checkpoint_{stain}.pth from the drive that {PAGE} names, and name it: {local_copy(name)}"
    return PatchEncoder(
        name=name,
        aliases=(name.replace("-", "_"),),
        architecture=TimmModel("vit_base_patch16_224", {"global_pool": "avg", "reg_tokens": 1}),
        source=NotGiven(cure),
        dim=768,
        transform=AS_IT_IS,
        adapt=pathoduet_as_timm,
        license=CC_BY_NC,
        patch_size=256,
        magnification=40,
        homepage=PAGE,
        facts="network and pooling: vits.py and main_cross.py of its page; scale: 256 px at level 0 of TCGA's slides",
        note=note,
    )


PATHODUET = (
    _pathoduet("HE", "Mean of patch tokens; takes colours as they are, not normalised."),
    _pathoduet("IHC", "For immunohistochemistry; mean of patch tokens; takes colours as they are, not normalised."),
)
