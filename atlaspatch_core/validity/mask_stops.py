"""What stops a slide at a mask that lies there and is reused: outlines beside the slide, and findings that block."""

from collections.abc import Mapping

from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.outlines import TissueOutlines
from atlaspatch_core.tissue.quality import QualitySpec, failed, judge_quality, warnings
from atlaspatch_core.tissue.quality_survey import OF_SLIDE
from atlaspatch_core.tissue.segmenters import polygon_numbers

EDITED_CURE = "draw them on the slide, or delete the file to have the tissue found anew"
"""What to do about a person's outlines of which none lies on the slide."""


def edited_numbers(outlines: TissueOutlines, info: SlideInfo, of_slide: Mapping[str, float]) -> dict[str, float]:
    """Return the measures of a person's polygons, and those ``of_slide`` that hold whatever its mask."""
    seen = {name: of_slide[name] for name in OF_SLIDE if name in of_slide}
    return polygon_numbers(tuple(outlines.united()), info) | seen


def blocked_reason(stem: str, numbers: Mapping[str, float], quality: QualitySpec) -> str:
    """Return why a slide with a mask of these numbers is not worked on, or an empty text."""
    culprits = [finding for finding in failed(judge_quality(numbers, quality)) if finding.name in quality.block]
    names = ", ".join(finding.name for finding in culprits)
    cure = f"edit its mask, or take {names} out of block in [quality]"
    return f"{stem}: {warnings(culprits)}; {cure}" if culprits else ""
