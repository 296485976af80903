"""HEST's tissue network: DeepLabV3 on a ResNet50, at 1 µm per px."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import StateDict
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.by_network import softmax_of, tissue_by_network
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Network, Networks

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TISSUE = 1
"""Class of the network; 0 is background."""
LIGHTNING = "model."
"""What Lightning puts before the names of the tensors."""


def build() -> "Module":
    """Return the network with arbitrary weights; nothing is downloaded."""
    from torch.nn import Conv2d
    from torchvision.models.segmentation import deeplabv3_resnet50

    network = deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=False)
    network.classifier.register_module("4", Conv2d(256, 2, 1))
    return network


def forward(network: Any, pixels: "Tensor") -> "Tensor":
    """Return probabilities of background and tissue."""
    return softmax_of(network(pixels)["out"])


def from_lightning(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the tensors without Lightning's prefix and without the auxiliary classifier, which only training needs."""
    plain = {name.removeprefix(LIGHTNING): tensor for name, tensor in checkpoint.items()}
    return {name: tensor for name, tensor in plain.items() if not name.startswith("aux")}


HEST_NETWORK = Network(
    name="hest",
    architecture=Built(build, "torchvision deeplabv3_resnet50, 2 classes"),
    source=HubWeights("MahmoodLab/hest-tissue-seg", ("deeplabv3_seg_v4.ckpt",)),
    forward=forward,
    adapt=from_lightning,
    mpp=1.0,
    license="LicenseRef-non-commercial",
    homepage="https://huggingface.co/MahmoodLab/hest-tissue-seg",
)


def segment(slide: Slide, spec: TissueSpec, networks: Networks) -> TissuePixels:
    """Return where the network sees tissue, with ``dark_share``."""
    return tissue_by_network(slide, spec, networks.get(HEST_NETWORK), TISSUE)


HEST = Segmenter(
    name="hest",
    version=2,
    license=HEST_NETWORK.license,
    source="Jaume et al., HEST-1k, NeurIPS 2024; Chen et al., DeepLabV3, arXiv:1706.05587",
    segment=segment,
    network=HEST_NETWORK,
)
