"""What a segmenter is, what decides a tissue mask, and what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.segmenters.networks import Network, Networks


@dataclass(frozen=True, slots=True)
class TissueSpec:
    """What decides a tissue mask, whatever the slide. Every field is part of the fingerprint."""

    segmenter: str = "otsu"
    overview_mpp: float = 8.0
    """µm per px that the segmenter sees; some networks have their own and ignore it."""
    closing_um: float = 16.0
    """Gaps narrower than twice this are closed, µm."""
    min_tissue_um2: float = 20_000.0
    """Smaller pieces of tissue are specks, µm²; a patch of 256 px at 20x covers 16,384."""
    min_hole_um2: float = 10_000.0
    """Smaller holes are filled, µm²; an adipocyte covers 2,000 to 10,000."""
    min_tissue_share: float = 0.0
    """Least area of a piece, its holes included, as a share of the slide; AtlasPatch's ``--tissue-thresh``."""
    simplify_um: float = 4.0
    """Outlines lie within this of the mask's own, µm."""
    seg_conf_thresh: float = 0.5
    """Networks call tissue what they give a higher probability; the others have none and ignore it."""
    remove_holes: bool = True
    """Holes of ``min_hole_um2`` and more are no tissue. False: all holes are filled, as TRIDENT does by default."""
    remove_artifacts: bool = False
    """Folds, foreign bodies, pen marks, air bubbles and blur are no tissue; GrandQC's artefact network finds them."""
    remove_penmarks: bool = False
    """Ink is not tissue, but tissue below a stroke thinner than 0.3 mm is. True: neither is that. ``otsu`` knows ink by
    itself; the others do not, and True asks GrandQC's artefact network."""

    def __post_init__(self) -> None:
        for name in ("closing_um", "min_tissue_um2", "min_hole_um2", "min_tissue_share", "simplify_um"):
            if not getattr(self, name) >= 0:
                raise InvalidProject(f"tissue: {name} is {getattr(self, name)}; give 0 or more")
        if not 0.5 <= self.overview_mpp <= 64:
            raise InvalidProject(f"tissue: overview_mpp is {self.overview_mpp}; give 0.5 to 64 µm per px")
        if not 0 < self.seg_conf_thresh < 1:
            raise InvalidProject(f"tissue: seg_conf_thresh is {self.seg_conf_thresh}; give more than 0 and less than 1")
        if self.min_tissue_share > 1:
            raise InvalidProject(f"tissue: min_tissue_share is {self.min_tissue_share}; give 0 to 1")


@dataclass(frozen=True, slots=True)
class TissuePixels:
    """What a segmenter answers: tissue or not, over the whole slide."""

    mask: NDArray[np.bool_]
    """Shape (height, width); its top left corner is the slide's, its last row and column may reach over the edge."""
    downsample: float
    """Level-0 px per px of the mask."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What it noticed on the way, such as ``pen_share``: shares of the slide, 0 to 1."""


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


@dataclass(frozen=True, slots=True)
class Tissue:
    """The tissue of one slide."""

    polygons: tuple[shapely.Polygon, ...]
    """Valid, disjoint, with holes; whole level-0 px; from top to bottom."""
    numbers: Mapping[str, float]
    """``tissue_share`` (of the slide), ``tissue_area_mm2``, ``fragments``, ``holes``, and the segmenter's own."""
