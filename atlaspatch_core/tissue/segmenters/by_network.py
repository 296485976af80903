"""A slide through a network: tiles at the network's scale, blended, and only where there may be something."""

from typing import TYPE_CHECKING

from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.background import Where, not_plain
from atlaspatch_core.tissue.segmenters.declaration import TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import LoadedNetwork, Scores
from atlaspatch_core.tissue.segmenters.scaled import read_square, scale_to
from atlaspatch_core.tissue.segmenters.tiled import Map, Tiling, predict, reduction_for

if TYPE_CHECKING:
    from torch import Tensor


def tissue_by_network(slide: Slide, spec: TissueSpec, network: LoadedNetwork, tissue_class: int) -> TissuePixels:
    """Return where the network's probability of tissue exceeds ``spec.seg_conf_thresh``.

    Plain background is not shown to the network and is no tissue. The numbers are those of the background.
    """
    where = not_plain(slide)
    probability, downsample = map_over(slide, network, lambda classes: classes[:, tissue_class], where)
    return TissuePixels(probability > spec.seg_conf_thresh, downsample, {"dark_share": where.dark_share})


def map_over(slide: Slide, network: LoadedNetwork, scores: Scores, where: Where) -> tuple[Map, float]:
    """Return the blended scores over the whole slide, zero away from ``where``, and level-0 px per px of them."""
    side = network.declaration.side
    scale = scale_to(slide.info, network.declaration.mpp)
    reduction = reduction_for(scale.width, scale.height)
    blended = predict(
        Tiling(scale.width, scale.height, side, network.declaration.overlap, reduction),
        lambda x, y: read_square(slide, scale, x, y, side),
        lambda tiles: network.scores(tiles, scores),
        is_included=where.touches(scale, side),
        batch_size=network.batch_size,
    )
    return blended, scale.downsample * reduction


def softmax_of(logits: "Tensor") -> "Tensor":
    """Return probabilities of logits (b, classes, h, w)."""
    return logits.softmax(dim=1)
