"""From a tissue mask to outlines in level-0 px."""

import cv2
import numpy as np
from numpy.typing import NDArray

ATLASPATCH_LEAST_HOLE = 16
"""AtlasPatch 1.1.0 drops holes below this area, px² of its mask."""
ATLASPATCH_MOST_HOLES = 10
"""AtlasPatch 1.1.0 keeps this many holes of a slide, the largest."""

Contour = NDArray[np.int32]
"""Shape (n, 2): x, y of the corners of one closed ring."""


def atlaspatch_contours(
    mask: NDArray[np.bool_], width: int, height: int, tissue_thresh: float = 0.0
) -> list[tuple[Contour, list[Contour]]]:
    """Return each outer contour with its holes, level-0 px, in OpenCV's order, as AtlasPatch 1.1.0 has them.

    ``mask`` covers a slide of ``width`` × ``height`` level-0 px. An outer contour must cover ``tissue_thresh`` of the
    mask; rings are not simplified, run through the indices of the outermost pixels (so they lose a mask pixel of width)
    and are truncated to whole px. Only the four-probe grid rule wants these; all else wants ``mask_to_polygons``.
    """
    rings, parents = _rings(mask, cv2.CHAIN_APPROX_NONE)
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    areas = [cv2.contourArea(ring) for ring in rings]
    outer = [i for i, parent in enumerate(parents) if parent < 0 and areas[i] >= tissue_thresh * mask.size]
    kept = set(outer)
    holes = [i for i, parent in enumerate(parents) if parent in kept and areas[i] >= ATLASPATCH_LEAST_HOLE]
    holes = sorted(holes, key=lambda i: -areas[i])[:ATLASPATCH_MOST_HOLES]
    scaled = [(ring * scale).astype(np.int32) for ring in rings]
    return [(scaled[i], [scaled[hole] for hole in holes if parents[hole] == i]) for i in outer]


def _rings(mask: NDArray[np.bool_], chain: int) -> tuple[list[Contour], list[int]]:
    """Return the rings of a mask, each (n, 2) mask px, and for each the index of the ring it is a hole of, or -1."""
    found, hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, chain)
    if hierarchy is None:
        return [], []
    return [ring.reshape(-1, 2).astype(np.int32) for ring in found], [int(parent) for parent in hierarchy[0, :, 3]]
