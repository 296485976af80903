"""GrandQC's tissue network: U-Net++ on an EfficientNet-B0, at 10 µm per px."""

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.by_network import softmax_of, tissue_by_network
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Network, Networks, Pixels

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TISSUE = 0
"""Class of the network; 1 is background."""
JPEG_QUALITY = 80
"""The network was trained on JPEG files of this quality."""
EXTRA = "grandqc"
"""What brings the architecture."""
LICENSE = "CC-BY-NC-SA-4.0"


def build() -> "Module":
    """Return the network with arbitrary weights; nothing is downloaded. Raises MissingExtra."""
    library = need("segmentation_models_pytorch", EXTRA, "grandqc")
    return library.UnetPlusPlus(encoder_name="timm-efficientnet-b0", encoder_weights=None, classes=2)


def forward(network: Any, pixels: "Tensor") -> "Tensor":
    """Return probabilities of the classes."""
    return softmax_of(network(pixels))


def as_jpeg(pixels: Pixels) -> Pixels:
    """Return pixels as they come back from a JPEG file."""
    _, stored = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


GRANDQC_NETWORK = Network(
    name="grandqc",
    architecture=Built(build, "smp UnetPlusPlus timm-efficientnet-b0, 2 classes"),
    source=HubWeights("MahmoodLab/hest-tissue-seg", ("Tissue_Detection_MPP10.pth",)),
    forward=forward,
    mpp=10.0,
    prepare=as_jpeg,
    license=LICENSE,
    extra=EXTRA,
    homepage="https://github.com/cpath-ukk/grandqc",
)


def segment(slide: Slide, spec: TissueSpec, networks: Networks) -> TissuePixels:
    """Return where the network's probability of tissue exceeds the threshold, with ``dark_share``.

    At 0.5 and above this is GrandQC's own decision; below 0.5 it finds more tissue.
    """
    return tissue_by_network(slide, spec, networks.get(GRANDQC_NETWORK), TISSUE)


GRANDQC = Segmenter(
    name="grandqc",
    version=2,
    license=LICENSE,
    source="Weng et al., GrandQC, Nature Communications 15 (2024) 10685",
    segment=segment,
    network=GRANDQC_NETWORK,
)
