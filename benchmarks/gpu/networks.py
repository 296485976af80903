"""Networks to measure with: the architectures that pathology encoders have, with seeded random weights.

A plugin file, too, so that the pipeline finds them by name: torch is imported inside functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

if TYPE_CHECKING:
    from torch.nn import Module

SIDE = 224
"""Side of the input of every network, px."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Network:
    """An architecture, as timm names it and, where timm is not installed, as torchvision builds it."""

    name: str
    timm_name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of ``timm.create_model``."""
    transformer: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of torchvision's ``VisionTransformer``; empty for a network that it knows by ``name``."""

    def build(self) -> "Module":
        """Return the network with seeded random weights and without classifier."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return self.by_timm() if find_spec("timm") else self.by_torchvision()

    def by_timm(self) -> "Module":
        """Return it as timm builds it."""
        import timm

        return timm.create_model(self.timm_name, pretrained=False, num_classes=0, **self.options)

    def by_torchvision(self) -> "Module":
        """Return it as torchvision builds it, for machines without timm."""
        from torch.nn import Identity
        from torchvision import models

        if not self.transformer:
            network = models.get_model(self.name, weights=None)
            network.fc = Identity()
            return network
        network = models.VisionTransformer(image_size=SIDE, **self.transformer)
        network.heads = Identity()  # pyright: ignore[reportAttributeAccessIssue]
        return network


def _transformer(patch_size: int, layers: int, heads: int, width: int, mlp: int) -> dict[str, Any]:
    return {
        "patch_size": patch_size, "num_layers": layers, "num_heads": heads, "hidden_dim": width, "mlp_dim": mlp,
    }  # fmt: skip


NETWORKS = (
    Network("resnet50", "resnet50"),
    Network("vit_s_16", "vit_small_patch16_224", transformer=_transformer(16, 12, 6, 384, 1536)),
    Network("vit_l_16", "vit_large_patch16_224", transformer=_transformer(16, 24, 16, 1024, 4096)),
    Network("vit_g_14", "vit_giant_patch14_dinov2", {"img_size": SIDE}, _transformer(14, 40, 24, 1536, 6144)),
)
"""What is measured on a GPU."""
SMALL_NETWORKS = (
    Network("resnet18", "resnet18"),
    Network("vit_two_layers", "vit_tiny_patch16_224", {"depth": 2}, _transformer(16, 2, 3, 192, 768)),
)
"""What a CPU runs in seconds, so that the command itself can be tried."""


def encoder_of(network: Network) -> PatchEncoder:
    """Return the declaration by which the pipeline finds a network."""
    return PatchEncoder(
        name=f"bench_{network.name}",
        architecture=Built(partial(network.build), name=f"bench {network.timm_name}"),
        source=BuiltIn(),
        dim=None,
        transform=Transform(SIDE, SIDE, "bicubic", IMAGENET_MEAN, IMAGENET_STD),
        license="Apache-2.0",
    )


PATCH_ENCODERS = [encoder_of(network) for network in (*NETWORKS, *SMALL_NETWORKS)]
"""As a plugin file declares them."""
PLUGIN = Path(__file__)
