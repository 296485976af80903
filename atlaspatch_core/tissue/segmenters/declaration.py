"""What a segmenter is, what decides a tissue mask, and what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.networks import Network, Networks
from atlaspatch_core.tissue.spec import TissueSpec

__all__ = ["Segmenter", "Tissue", "TissuePixels", "TissueSpec"]


@dataclass(frozen=True, slots=True)
class TissuePixels:
    """What a segmenter answers: tissue or not, over the whole slide."""

    mask: NDArray[np.bool_]
    """Shape (height, width); its top left corner is the slide's, its last row and column may reach over the edge."""
    downsample: float
    """Level-0 px per px of the mask."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What it noticed on the way, such as ``pen_share``: shares of the slide, 0 to 1, and places, level-0 px."""
    removed: NDArray[np.bool_] | None = None
    """Shape (height, width): pen marks that were to be removed, which no filled hole brings back."""


@dataclass(frozen=True, slots=True)
class Segmenter:
    """One way to find tissue."""

    name: str
    version: int
    """Raised whenever equal specs give other numbers than before; part of the fingerprint."""
    license: str
    """Licence of the weights, or of the code where there are none, SPDX."""
    source: str
    """Paper, page or file the method comes from."""
    segment: Callable[[Slide, TissueSpec, Networks], TissuePixels]
    network: Network | None = None
    """What it must load; None where it needs no weights."""
    knows_ink: bool = False
    """Whether it obeys ``remove_penmarks`` by itself."""
    knows_small_slides: bool = False
    """Whether the least piece is at most ``SMALL_SLIDE`` of the slide: a region of interest has tissue, too."""
    plugin: str | None = None
    """sha256 of the plugin file that declares it."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """The tissue of one slide."""

    polygons: tuple[shapely.Polygon, ...]
    """Valid, disjoint, with holes; whole level-0 px; from top to bottom."""
    numbers: Mapping[str, float]
    """``tissue_share`` (of the slide), ``tissue_area_mm2``, ``fragments``, ``holes``, and the segmenter's own."""
