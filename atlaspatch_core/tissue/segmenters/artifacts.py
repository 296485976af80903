"""GrandQC's artefact network: what lies on tissue that is not to be analysed, at 1 µm per px.

It is asked about tissue alone, and what it finds is taken away from tissue; it never adds any.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.background import Where
from atlaspatch_core.tissue.segmenters.by_network import map_over
from atlaspatch_core.tissue.segmenters.declaration import TissuePixels
from atlaspatch_core.tissue.segmenters.grandqc import EXTRA, LICENSE, forward
from atlaspatch_core.tissue.segmenters.networks import Network, Networks, Scores
from atlaspatch_core.tissue.segmenters.tiled import Map

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

CLASSES = ("unused", "normal", "fold", "foreign body", "pen mark", "edge or air bubble", "out of focus", "background")
ARTIFACTS = (2, 3, 4, 5, 6, 7)
"""Classes that ``remove_artifacts`` takes away."""
PENMARKS = (4, 7)
"""Classes that ``remove_penmarks`` alone takes away."""


def build() -> "Module":
    """Return the network with arbitrary weights; nothing is downloaded. Raises MissingExtra."""
    library = need("segmentation_models_pytorch", EXTRA, "grandqc_artifact")
    return library.Unet(encoder_name="timm-efficientnet-b0", encoder_weights=None, classes=len(CLASSES))


ARTIFACT_NETWORK = Network(
    name="grandqc_artifact",
    architecture=Built(build, "smp Unet timm-efficientnet-b0, 8 classes"),
    source=HubWeights("MahmoodLab/hest-tissue-seg", ("GrandQC_MPP1_state_dict.pth",)),
    forward=forward,
    mpp=1.0,
    license=LICENSE,
    extra=EXTRA,
    homepage="https://github.com/cpath-ukk/grandqc",
)


def without_artifacts(
    slide: Slide, tissue: TissuePixels, networks: Networks, removed: tuple[int, ...] = ARTIFACTS
) -> TissuePixels:
    """Return ``tissue`` less the classes ``removed``, with ``artifact_share`` of the tissue; its grid stays the same.

    The likeliest class decides. Raises MissingWeights, WrongWeights and MissingExtra.
    """
    network = networks.get(ARTIFACT_NETWORK)
    if not tissue.mask.any():
        return TissuePixels(tissue.mask, tissue.downsample, {**tissue.numbers, "artifact_share": 0.0})
    margin, downsample = map_over(slide, network, margin_of(removed), Where(tissue.mask, tissue.downsample))
    after = tissue.mask & ~(_on_grid_of(tissue, margin, downsample) > 0)
    share = 1 - float(after.sum()) / float(tissue.mask.sum())
    return TissuePixels(after, tissue.downsample, {**tissue.numbers, "artifact_share": share})


def margin_of(removed: tuple[int, ...]) -> Scores:
    """Return what gives, per pixel, the best probability among ``removed`` less the best among the other classes.

    It is positive where the likeliest class is one of ``removed``, and unlike the class itself it can be blended.
    """
    others = tuple(index for index in range(len(CLASSES)) if index not in removed)

    def margin(classes: "Tensor") -> "Tensor":
        return classes[:, list(removed)].amax(dim=1) - classes[:, list(others)].amax(dim=1)

    return margin


def _on_grid_of(tissue: TissuePixels, values: Map, downsample: float) -> Map:
    """Return ``values``, one per ``downsample`` level-0 px, averaged over the px of the tissue's mask."""
    ratio = tissue.downsample / downsample
    width = max(1, round(ratio))
    smooth = np.asarray(cv2.blur(values, (width, width)), np.float32)
    rows, columns = (
        np.minimum(((np.arange(length) + 0.5) * ratio).astype(np.int64), most - 1)
        for length, most in zip(tissue.mask.shape, values.shape, strict=True)
    )
    return smooth[rows[:, None], columns]
