"""Encoders to measure with: one that costs nothing, and real architectures with arbitrary weights."""

from pathlib import Path

from torch import Tensor, nn

from atlaspatch_core.encoders.architecture import Built, TimmModel
from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

SIDE = 224
"""px"""


class MeanColour(nn.Module):
    """Costs next to nothing, so that reading is what takes time."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the mean of every channel of every other px."""
        return pixels[:, :, ::8, ::8].float().mean(dim=(2, 3))


def mean_colour(name: str) -> PatchEncoder:
    """Return an encoder that is bound by reading."""
    return PatchEncoder(
        name=name, architecture=Built(MeanColour), source=BuiltIn(), dim=3, transform=None, license="Apache-2.0"
    )


def network(timm_name: str) -> PatchEncoder:
    """Return an encoder that is bound by its network, with weights as timm starts them."""
    transform = Transform(SIDE, SIDE, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    return PatchEncoder(
        name=f"bench_{timm_name}",
        architecture=TimmModel(timm_name),
        source=BuiltIn(),
        dim=None,
        transform=transform,
        license="Apache-2.0",
    )


PATCH_ENCODERS = [*map(mean_colour, ("mean_one", "mean_two", "mean_three")), network("resnet50")]
"""As a plugin file declares them."""

PLUGIN = Path(__file__)
