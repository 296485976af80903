"""What a segmenter of a plugin answers, held against what it has to be."""

import numpy as np

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels

LEAST_COVERED = 0.98
"""Of either side of the slide: levels are rounded, and so are their downsamples."""


def checked_pixels(answer: object, segmenter: Segmenter, info: SlideInfo) -> TissuePixels:
    """Return the answer of a segmenter; of a plugin's, InvalidProject where it is not the tissue of the whole slide."""
    if segmenter.plugin and (wrong := _wrong(answer, info)):
        raise InvalidProject(f"{info.stem}: the segmenter {segmenter.name} of a plugin returns {wrong}")
    assert isinstance(answer, TissuePixels)
    return answer


def _wrong(answer: object, info: SlideInfo) -> str:
    """Return what is wrong with an answer, and what it has to be; empty for one that can be taken."""
    if not isinstance(answer, TissuePixels):
        return f"a {type(answer).__name__}; return TissuePixels(mask, downsample)"
    mask = answer.mask
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        what = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        return f"the mask {what}; return bool (height, width), True for tissue"
    if not answer.downsample > 0:
        return f"the downsample {answer.downsample}; return level-0 px per px of the mask"
    covered = tuple(side * answer.downsample for side in mask.shape)
    needed = tuple(LEAST_COVERED * side - answer.downsample for side in (info.height, info.width))
    if covered[0] < needed[0] or covered[1] < needed[1]:
        return (
            f"a mask of {covered[0]:.0f} × {covered[1]:.0f} level-0 px, height by width, of a slide of {info.height} × "
            f"{info.width}; cover all of it"
        )
    return ""
