"""Where a network need not look: plain glass, and what no scanner has seen."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.morphology import Mask
from atlaspatch_core.tissue.segmenters.colour import GLASS, balanced, brightest, chroma, darkest
from atlaspatch_core.tissue.segmenters.otsu import NEAR_BLACK, PALEST
from atlaspatch_core.tissue.segmenters.scaled import Scale

SEEN_AT = 8.0
"""Scale at which glass is told from the rest, µm per px."""
DARKER = 12
"""Glass is less than this darker than the slide's own glass, of 255; pale fat and stroma are 15 and more."""
COLOURED = 6
"""Glass has less chroma than this, of 255; pale stain has 8 and more."""
UNSEEN = 8
"""Below this, of 255, nothing was scanned."""


@dataclass(frozen=True, slots=True)
class Where:
    """Part of a slide."""

    mask: Mask
    """Shape (height, width), over the whole slide."""
    downsample: float
    """Level-0 px per px of the mask."""
    dark_share: float = 0.0
    """Share of the slide that is grey and near black: frames, black ink, fluorescence."""

    def touches(self, scale: Scale, side: int) -> Callable[[int, int], bool]:
        """Return what tells whether a tile at x, y px of ``scale``, ``side`` px wide, holds any of it."""
        ratio = scale.downsample / self.downsample

        def touched(x: int, y: int) -> bool:
            top, bottom = int(y * ratio), int(np.ceil((y + side) * ratio))
            left, right = int(x * ratio), int(np.ceil((x + side) * ratio))
            return bool(self.mask[top:bottom, left:right].any())

        return touched


def not_plain(slide: Slide) -> Where:
    """Return all that is not plainly background; when in doubt, a pixel is in it."""
    overview = read_overview(slide, SEEN_AT)
    pixels = balanced(overview.pixels)
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)
    plain = (darkest(smooth) > GLASS - DARKER) & (chroma(smooth) < COLOURED)
    unseen = brightest(smooth) < UNSEEN
    black = (brightest(pixels) <= NEAR_BLACK) & (chroma(pixels) < PALEST)
    return Where(~(plain | unseen), overview.downsample, float(black.mean()))
