"""What AtlasPatch's test of four points gives, by OpenCV's own test of each point."""

import cv2
import numpy as np

Contours = list[tuple[np.ndarray, list[np.ndarray]]]
"""Exteriors, each with its holes: x, y of corners, level-0 px."""


def probed(contours: Contours, size: int, step: int) -> list[list[int]]:
    """Return the corners that pass the test of four points, contour by contour, each once."""
    found: list[tuple[int, int]] = []
    for exterior, holes in contours:
        left, top, width, height = cv2.boundingRect(exterior)
        for y in range(max(0, (top - size) // step * step), top + height, step):
            for x in range(max(0, (left - size) // step * step), left + width, step):
                cx, cy, shift = x + size // 2, y + size // 2, size // 2 // 2
                probes = [(cx + dx, cy + dy) for dx in (-shift, shift) for dy in (-shift, shift)]
                in_hole = any(cv2.pointPolygonTest(hole, (cx, cy), False) > 0 for hole in holes)
                if not in_hole and any(cv2.pointPolygonTest(exterior, probe, False) >= 0 for probe in probes):
                    found.append((x, y))
    return [list(corner) for corner in dict.fromkeys(found)]
