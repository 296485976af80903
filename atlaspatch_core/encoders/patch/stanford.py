"""MUSK of Stanford's Li Lab."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import PackageModel
from atlaspatch_core.encoders.declaration import HALF, Output, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import CC_BY_NC_ND

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class MuskImage:
    """The image vector of MUSK, neither projected nor normalised."""

    multiscale: bool
    """Whether the vectors of two scales stand side by side (2048 numbers) or one is taken (1024)."""

    @property
    def declared_name(self) -> str:
        """Its name in identities."""
        return f"MuskImage(multiscale={self.multiscale})"

    def __call__(self, network: Any, pixels: "Tensor") -> "Tensor":
        """Return the vectors."""
        options = {"with_head": False, "out_norm": False, "return_global": True}
        return network(image=pixels, ms_aug=self.multiscale, **options)[0]


MUSK = PatchEncoder(
    name="musk",
    aliases=("atlaspatch-musk",),
    architecture=PackageModel(
        "atlaspatch_core.encoders.patch.packages:musk", name="atlaspatch_core.encoders.patch.packages:musk"
    ),
    source=HubWeights("xiangjx/musk", ("model.safetensors",), gated=True),
    dim=2048,
    transform=Transform(384, 384, "bicubic", HALF, HALF),
    pooling=MuskImage(multiscale=True),
    output="two-scales",
    outputs=(
        Output(
            word="one-scale",
            name="musk_single_scale",
            aliases=("trident-musk",),
            dim=1024,
            pooling=MuskImage(multiscale=False),
            note="One scale, as TRIDENT takes it and calls it musk. Needs the package musk from GitHub.",
        ),
    ),
    precision="float16",
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=384,
    magnification=20,
    mpp=(0.25, 1),
    extra="musk",
    homepage="https://huggingface.co/xiangjx/musk",
    note="Two scales, as AtlasPatch takes it; TRIDENT's is musk_single_scale. Needs the package musk from GitHub.",
)

STANFORD = (MUSK,)
