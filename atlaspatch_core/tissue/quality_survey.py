"""What a slide's pixels say of its quality, whoever made its mask: ink, darkness, blur."""

from collections.abc import Mapping, Sequence

import numpy as np
import shapely

from atlaspatch_core.slides.overview import Overview, read_overview
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.absent_tiles import absent_in_tissue
from atlaspatch_core.tissue.placement import placement_of_mask
from atlaspatch_core.tissue.segmenters.colour import balanced, brightest, chroma
from atlaspatch_core.tissue.segmenters.ink import find_ink
from atlaspatch_core.tissue.segmenters.otsu import NEAR_BLACK, PALEST
from atlaspatch_core.tissue.sharpness import blur_share

SEEN_AT = 8.0
"""Scale of the overview, µm per px."""
OF_SLIDE = ("pen_share", "dark_share")
"""Numbers that do not depend on the mask."""


def measure_quality(
    slide: Slide, polygons: Sequence[shapely.Polygon], numbers: Mapping[str, float], *, is_supplied: bool = False
) -> dict[str, float]:
    """Return ``numbers`` with ``pen_share`` and ``dark_share`` of the slide, ``blur_share`` and what tissue lacks.

    What is known already is not measured again. Of tissue that a person supplied, also whether it lies on the slide's.
    Raises UnreadableSlide when pixels cannot be decoded.
    """
    is_known = all(name in numbers for name in OF_SLIDE)
    overview = None if is_known and not is_supplied else read_overview(slide, SEEN_AT)
    shares = _slide_shares(overview) if overview and not is_known else {}
    placement = placement_of_mask(overview, polygons) if overview and is_supplied else {}
    of_tissue = {**blur_share(slide, polygons), **absent_in_tissue(slide.info, polygons)}
    return {**shares, **numbers, **of_tissue, **placement}


def _slide_shares(overview: Overview) -> dict[str, float]:
    """Return ink and darkness as the segmenter ``otsu`` sees them."""
    pixels = balanced(overview.pixels)
    black = (brightest(pixels) <= NEAR_BLACK) & (chroma(pixels) < PALEST)
    ink = find_ink(pixels, overview.mpp)
    return {"pen_share": float(np.mean(ink)), "dark_share": float(np.mean(black))}
