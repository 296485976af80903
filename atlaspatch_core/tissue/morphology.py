"""Growing, closing and cleaning masks; radii and areas in px of the mask, of any size at one cost."""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def grow(mask: Mask, radius: float) -> Mask:
    """Return every pixel within ``radius`` of ``mask``: dilation by a disc."""
    return _distance(~mask) <= radius if mask.any() else mask


def shrink(mask: Mask, radius: float) -> Mask:
    """Return every pixel of ``mask`` further than ``radius`` from its complement; the picture's border is none."""
    return mask if mask.all() else _distance(mask) > radius


def close_gaps(mask: Mask, radius: float) -> Mask:
    """Return ``mask`` with gaps narrower than twice ``radius`` filled: closing by a disc."""
    return shrink(grow(mask, radius), radius) | mask


def thick_parts(mask: Mask, radius: float) -> Mask:
    """Return the parts of ``mask`` that a disc of ``radius`` fits into: opening."""
    return grow(shrink(mask, radius), radius) & mask


def drop_specks(mask: Mask, least: float) -> Mask:
    """Return ``mask`` without pieces (8-connected) of fewer than ``least`` px."""
    labels, areas = pieces(mask)
    return (areas >= least)[labels] & mask


def fill_holes(mask: Mask, least: float) -> Mask:
    """Return ``mask`` with holes (4-connected) of fewer than ``least`` px filled; bays at the border are no holes."""
    labels, areas = pieces(~mask, connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    filled = areas < least
    filled[border] = False
    return mask | (filled[labels] & ~mask)


def pieces(mask: Mask, connectivity: int = 8) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return a label per pixel, 0 outside ``mask``, and the px of each label."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return labels.astype(np.int32, copy=False), stats[:, cv2.CC_STAT_AREA].astype(np.int32)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Return each pixel's distance to the next pixel outside ``mask``, px, within 2 %."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5).astype(np.float32)
