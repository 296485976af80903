"""Slides of which only a part was scanned, and outlines as programs save them. Nothing of the product is imported.

QuPath shows that part alone, and counts from its corner; everybody else counts from the corner of the slide.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from hypothesis import strategies as st

WIDTH, HEIGHT = 1536, 1280
"""Of the whole slide, level-0 px."""
MPP = 0.5

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; level-0 px of the whole slide."""

SAVED_BY = {
    "QuPath": (True, lambda number: {"properties": {"objectType": "annotation", "name": f"{number}"}, "id": "0f-1e"}),
    "QuPath 0.3": (True, lambda _: {"properties": {"object_type": "annotation", "isLocked": False}}),
    "QuPath 0.2": (True, lambda _: {"properties": {"isLocked": False}, "id": "PathAnnotationObject"}),
    "TRIDENT": (False, lambda number: {"properties": {"tissue_id": number}}),
    "an earlier version": (
        False,
        lambda number: {
            "properties": {"objectType": "annotation", "tissue_id": number, "name": f"Tissue {number + 1}"}
        },
    ),
    "a script": (False, lambda _: {"properties": {"class": "tumour"}}),
}
"""Program to whether it counts from the scanned part, and what it writes of its number-th outline."""


@dataclass(frozen=True)
class ScannedPart:
    """A slide and boxes of tissue on it."""

    corner: tuple[int, int]
    """Of the part that was scanned, level-0 px."""
    size: tuple[int, int]
    tissue: tuple[Box, ...]
    """Within the part, apart from each other."""


@st.composite
def scanned_parts(draw: st.DrawFn) -> ScannedPart:
    """Draw a part and one or two boxes of tissue, side by side."""
    width, height = 16 * draw(st.integers(32, 56)), 16 * draw(st.integers(24, 48))
    x, y = draw(st.integers(1, WIDTH - width)), draw(st.integers(1, HEIGHT - height))
    halves = [(x, x + width // 2), (x + width // 2, x + width)][: draw(st.integers(1, 2))]
    boxes = []
    for left, right in halves:
        x0, y0 = draw(st.integers(left + 1, right - 80)), draw(st.integers(y + 1, y + height - 80))
        boxes.append((x0, y0, draw(st.integers(x0 + 64, right - 2)), draw(st.integers(y0 + 64, y + height - 2))))
    return ScannedPart((x, y), (width, height), tuple(boxes))


def paint_scanned_part(path: Path, part: ScannedPart) -> Path:
    """Write a Leica SCN, the one such format that needs no private codec, and return its path."""
    width, height = part.size
    pixels = np.full((height, width, 3), 240, np.uint8)
    for left, top, right, bottom in part.tissue:
        pixels[top - part.corner[1] : bottom - part.corner[1], left - part.corner[0] : right - part.corner[0]] = (
            190,
            80,
            150,
        )
    nm = [round(px * MPP * 1000) for px in (width, height, *part.corner)]
    dimensions, levels = "", [pixels, cv2.resize(pixels, (width // 4, height // 4), interpolation=cv2.INTER_AREA)]
    for number, level in enumerate(levels):
        dimensions += f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{number}" ifd="{number}"/>'
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        '<collection name="c" uuid="c" '
        f'sizeX="{round(WIDTH * MPP * 1000)}" sizeY="{round(HEIGHT * MPP * 1000)}"><barcode>x</barcode>'
        '<image name="i" uuid="i"><creationDate>2020-01-01T00:00:00Z</creationDate>'
        f'<device model="Leica SCN400" version="1.0"/><pixels sizeX="{width}" sizeY="{height}">{dimensions}</pixels>'
        f'<view sizeX="{nm[0]}" sizeY="{nm[1]}" offsetX="{nm[2]}" offsetY="{nm[3]}" spacingZ="0"/><scanSettings>'
        "<objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>"
        "<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>"
        "</illuminationSettings></scanSettings></image></collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number, level in enumerate(levels):
            writer.write(
                level, photometric="rgb", tile=(256, 256), compression="jpeg", description="" if number else xml,
                resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER", software=False, metadata=None,
            )  # fmt: skip
    return path


def save_outlines(path: Path, part: ScannedPart, program: str, counts_from: tuple[int, int] | None = None) -> Path:
    """Write the true outlines as a program saves them, or as one that ``counts_from`` elsewhere."""
    from_part, about = SAVED_BY[program]
    dx, dy = counts_from if counts_from is not None else part.corner if from_part else (0, 0)
    features = []
    for number, (left, top, right, bottom) in enumerate(part.tissue):
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        shape = {"type": "Polygon", "coordinates": [[[x - dx, y - dy] for x, y in ring]]}
        features.append({"type": "Feature", "geometry": shape, **about(number)})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def paint_mask(path: Path, part: ScannedPart, covers: str) -> Path:
    """Write the true tissue as a mask image of full size over the whole slide, or over the scanned part alone."""
    (dx, dy), (width, height) = (part.corner, part.size) if covers == "bounds" else ((0, 0), (WIDTH, HEIGHT))
    mask = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in part.tissue:
        mask[top - dy : bottom - dy, left - dx : right - dx] = 255
    cv2.imwrite(str(path), mask)
    return path


def boxes_shown_by_qupath(path: Path, part: ScannedPart) -> list[Box]:
    """Return the bounds of each object of a file where QuPath shows them, level-0 px of the whole slide."""
    shown = []
    for feature in json.loads(path.read_bytes())["features"]:
        x, y = np.array(feature["geometry"]["coordinates"][0], float).T
        box = (x.min(), y.min(), x.max(), y.max())
        shown.append(tuple(round(side + offset) for side, offset in zip(box, part.corner * 2, strict=True)))
    return shown


def save_in_qupath(path: Path) -> None:
    """Open a file and save it, as QuPath does: what it does not know is lost, places stay."""
    content: dict[str, Any] = json.loads(path.read_bytes())
    kept = ("objectType", "classification", "name")
    features = [
        feature
        | {
            "id": "5d0a-41",
            "properties": {key: feature["properties"][key] for key in kept if key in feature["properties"]},
        }
        for feature in content["features"]
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
