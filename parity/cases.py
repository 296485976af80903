"""Cases as data: a painted slide, its tissue, options, and what a tool gave; see docs/parity.md for the format."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from painting import paint_glass, paint_slide
from PIL import Image

Case = dict[str, Any]
Contours = list[tuple[NDArray[np.int32], list[NDArray[np.int32]]]]
"""Exteriors, each with its holes: x, y of corners, level-0 px."""
BASE: Case = {
    "size": [3008, 2096], "magnification": 20, "levels": [1, 4], "seed": 1, "mask": [131, 188],
    "rects": [[20, 10, 168, 121, 1], [60, 40, 30, 30, 0], [5, 90, 4, 4, 1]],
    "patch_size": 256, "target_mag": 20,
}  # fmt: skip
"""Tissue to the right and the lower edge with a hole, and a piece smaller than a patch."""


def read_cases(folder: Path) -> list[Case]:
    """Return the cases of all files of a folder, each with the tool of its file."""
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [{**case, "tool": file["tool"]} for file in files for case in file["cases"]]


def write_cases(path: Path, tool: str, version: str, cases: Sequence[Case]) -> None:
    """Write the cases that a tool gave, one a line."""
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"tool": "{tool}", "version": "{version}", "cases": [\n{lines}\n]}}\n')


def paint(case: Case, folder: Path) -> None:
    """Write ``slides/a.svs``, and its tissue three times: ``mask.npy``, ``masks/a.png``, ``outlines/a.geojson``."""
    for name in ("slides", "masks", "outlines"):
        (folder / name).mkdir(parents=True)
    paint_pixels(case, folder / "slides" / "a.svs")
    mask = draw_mask(case)
    np.save(folder / "mask.npy", mask)
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / "a.png")
    contours = draw_contours(mask, *case["size"])
    (folder / "outlines" / "a.geojson").write_text(json.dumps(as_geojson(contours)))


def paint_pixels(case: Case, path: Path) -> None:
    """Paint the slide: squares of a colour with noise over them, or where it is large, tiles of one colour."""
    (width, height), mag, levels = case["size"], case["magnification"], tuple(case["levels"])
    if case.get("is_large"):
        paint_glass(path, width, height, mpp=10 / mag, levels=levels, seed=case["seed"])
        return
    rng = np.random.default_rng(case["seed"])
    coarse = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width] + rng.integers(0, 56, (height, width, 3), np.uint8)
    paint_slide(path, pixels, mpp=10 / mag, levels=levels, objective_power=mag)


def draw_mask(case: Case) -> NDArray[np.bool_]:
    """Return the tissue, (height, width) of AtlasPatch's overview."""
    mask = np.zeros(case["mask"], bool)
    for x, y, across, down, value in case["rects"]:
        mask[y : y + down, x : x + across] = value
    return mask


def draw_contours(mask: NDArray[np.bool_], width: int, height: int, least_area: float = 0) -> Contours:
    """Return what AtlasPatch draws round a mask, bottom-most first; ``least_area`` is px of the mask."""
    rings, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = [] if tree is None else tree[0, :, 3].tolist()
    outer = [i for i, parent in enumerate(parents) if parent < 0 and cv2.contourArea(rings[i]) >= least_area]
    holes = [i for i, parent in enumerate(parents) if parent in outer and cv2.contourArea(rings[i]) >= 16]
    holes = sorted(holes, key=lambda i: -cv2.contourArea(rings[i]))[:10]
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    at_level0 = [(np.asarray(ring).reshape(-1, 2) * scale).astype(np.int32) for ring in rings]
    return [(at_level0[i], [at_level0[hole] for hole in holes if parents[hole] == i]) for i in outer]


def as_geojson(contours: Contours) -> dict[str, Any]:
    """Return contours as TRIDENT's outlines: polygons with holes, level-0 px."""
    features = [
        {"type": "Feature", "properties": {"tissue_id": number}, "geometry": as_polygon([outer, *holes])}
        for number, (outer, holes) in enumerate(contours)
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    return {"type": "FeatureCollection", "name": "a", "crs": crs, "features": features}


def as_polygon(rings: Iterable[NDArray[np.int32]]) -> dict[str, Any]:
    """Return closed rings."""
    return {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()] for ring in rings]}


def checksums(features: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return sums over rows, plain and by the number of the row, so that an order that differs shows."""
    numbers = np.arange(1, len(features) + 1)
    return {"sum": rounded(features.sum(0)), "by_row": rounded(numbers @ features / max(1, numbers.sum()))}


def rounded(numbers: Iterable[float]) -> list[float]:
    """Return numbers to be written."""
    return [round(float(number), 6) for number in numbers]
