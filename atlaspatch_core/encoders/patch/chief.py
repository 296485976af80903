"""CTransPath, a Swin-T behind a stem of convolutions: its own weights, and those that CHIEF trained on."""

from dataclasses import replace

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, StateDict
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import AGPL_3, GPL_3
from atlaspatch_core.encoders.transforms import IMAGENET_224

COMPUTED = ("relative_position_index", "attn_mask")
"""Ends of names of tensors that the network computes itself."""


@named("ctranspath_as_timm")
def ctranspath_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:
    """Return the checkpoint by the names of today's timm, where a stage begins with its merging of patches.

    In the checkpoint, of an older timm, a stage ends with it.
    """
    tensors = {
        name: value
        for name, value in checkpoint.items()
        if name in network or not (name.endswith(COMPUTED) or name.startswith("head."))
    }
    old = "layers.0.downsample.reduction.weight" in tensors
    return {_moved(name) if old else name: value for name, value in tensors.items()}


def _moved(name: str) -> str:
    parts = name.split(".")
    if len(parts) > 2 and parts[2] == "downsample":
        parts[1] = str(int(parts[1]) + 1)
    return ".".join(parts)


CHIEF_CTRANSPATH = PatchEncoder(
    name="chief-ctranspath",
    aliases=("ctranspath", "chief_ctranspath"),
    architecture=TimmModel(
        "swin_tiny_patch4_window7_224", classes={"embed_layer": "atlaspatch_core.encoders.patch.conv_stem.ConvStem"}
    ),
    source=HubWeights("MahmoodLab/hest-bench", ("fm_v1/ctranspath/CHIEF_CTransPath.pth",), dataset=True, gated=True),
    dim=768,
    transform=IMAGENET_224,
    adapt=ctranspath_as_timm,
    license=AGPL_3,
    gated=True,
    patch_size=256,
    magnification=10,
    mpp=(0.5, 1),
    homepage="https://github.com/hms-dbmi/CHIEF",
    note="CHIEF's own page gives the same file, CHIEF_CTransPath.pth, without a request; name it as local weights.",
)

CTRANSPATH_ORIGINAL = replace(
    CHIEF_CTRANSPATH,
    name="ctranspath-original",
    aliases=("ctranspath_original",),
    source=HubWeights("1aurent/swin_tiny_patch4_window7_224.CTransPath"),
    license=GPL_3,
    gated=False,
    patch_size=224,
    homepage="https://github.com/Xiyue-Wang/TransPath",
    note="CTransPath before CHIEF trained it on, at 10x as its authors advise; their ctranspath.pth loads too.",
)

CTRANSPATH = (CHIEF_CTRANSPATH, CTRANSPATH_ORIGINAL)
