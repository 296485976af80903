"""Mettle of Slideflow Labs: H-optimus-0, tuned to look alike over scanners and stains, and a head behind it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Output, PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import CC_BY_NC_ND
from atlaspatch_core.encoders.patch.bioptimus import h_optimus_transform
from atlaspatch_core.encoders.pooling import ClassAndMean, class_token

if TYPE_CHECKING:
    from torch.nn import Module

TRUNK = TimmModel("vit_giant_patch14_reg4_dinov2", {"img_size": 224, "init_values": 1e-5, "global_pool": ""})


@dataclass(frozen=True, slots=True)
class RefinedVit:
    """A vision transformer of timm that gives tokens (b, n, d), and a head that refines the first of them."""

    trunk: TimmModel = field(default_factory=lambda: TRUNK)
    matrices: int = 16
    rank: int = 8
    """Of each matrix."""
    hidden: int = 256
    """Width within the head."""

    def build(self, weights: Path | None) -> "Module":
        """Return the network with arbitrary weights."""
        from atlaspatch_core.encoders.patch.refining_network import RefinedTransformer, RefiningHead

        backbone: Any = self.trunk.build(weights)
        return RefinedTransformer(backbone, RefiningHead(backbone.embed_dim, self.matrices, self.rank, self.hidden))

    def spec(self) -> dict[str, Any]:
        """Return the transformer and the sizes of the head."""
        head = {"matrices": self.matrices, "rank": self.rank, "hidden": self.hidden}
        return {"refined_vit": self.trunk.spec(), **head}


METTLE = PatchEncoder(
    name="mettle",
    architecture=RefinedVit(),
    source=HubWeights(
        "slideflow-labs/Mettle",
        ("model.safetensors",),
        sha256="7754ef463e79dd13b072247b56db39791c884db10774e354d76f76367093ce4a",
    ),
    dim=1536,
    transform=h_optimus_transform("bicubic"),
    pooling=class_token,
    output="class",
    outputs=(
        Output(
            word="class+mean",
            name="mettle_cls_mean",
            dim=3072,
            pooling=ClassAndMean(first=5),
            note="The refined class token beside the mean of the patch tokens, with which its makers compare.",
        ),
    ),
    precision="float16",
    license=CC_BY_NC_ND,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/slideflow-labs/Mettle",
    note="METTLE 1 (pre-release), not 1.5. Its makers name no scale: 20x is that of H-optimus-0.",
    facts="Page; the head, the layout of the weights and the preparation as slide2vec has them",
)
