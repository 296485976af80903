"""The rule of AtlasPatch through the command line: its own rows, in its order, from mask images and from outlines.

What AtlasPatch 1.1.0 gave of painted masks lies in ``tests/data/atlaspatch_golden.json``; of random masks, OpenCV's
own test of points says what its published rule gives.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from four_points import Contours, probed
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_glass
from paths import DATA
from PIL import Image
from rounds import examples

from atlaspatch_core.cli.main import cli

GOLDEN = json.loads((DATA / "atlaspatch_golden.json").read_text())["cases"]
PLUGIN = DATA / "written_before" / "colour_encoder.py"
KINDS = ("png", "geojson")


def contours_of(mask: np.ndarray, width: int, height: int, thresh: float) -> Contours:
    """Return what AtlasPatch draws round a mask, by OpenCV, level-0 px, bottom-most first."""
    rings, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = [] if tree is None else tree[0, :, 3].tolist()
    outer = [i for i, parent in enumerate(parents) if parent < 0 and cv2.contourArea(rings[i]) >= thresh * mask.size]
    holes = [i for i, parent in enumerate(parents) if parent in outer and cv2.contourArea(rings[i]) >= 16]
    holes = sorted(holes, key=lambda i: -cv2.contourArea(rings[i]))[:10]
    scale = np.array([width / mask.shape[1], height / mask.shape[0]])
    at_level0 = [(np.asarray(ring).reshape(-1, 2) * scale).astype(np.int32) for ring in rings]
    return [(at_level0[i], [at_level0[hole] for hole in holes if parents[hole] == i]) for i in outer]


def write_mask(folder: Path, kind: str, mask: np.ndarray, contours: Contours) -> None:
    """Write a mask as an image, or what is drawn round it as outlines."""
    folder.mkdir()
    if kind == "png":
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "a.png")
        return
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [closed(r) for r in rings]},
        }
        for rings in ([outer, *holes] for outer, holes in contours)
    ]
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def closed(ring: np.ndarray) -> list[list[int]]:
    return [*ring.tolist(), ring[0].tolist()]


def rows_of(folder: Path, *words: object) -> list[list[int]]:
    """Return the coords that ``encode-slide`` stores of the slide and the masks in a folder."""
    options = ["--rule", "atlaspatch", "--scale", "nominal", "--device", "cpu", "--feature-plugin", PLUGIN]
    places = [folder / "a.svs", "-o", folder / "out", "--masks", folder / "masks"]
    given = ["encode-slide", *places, *options, "--patch-encoders", "colour", *words]
    result = CliRunner().invoke(cli, [str(word) for word in given])
    assert result.exit_code == 0, result.output
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        return file["coords"][()].tolist()  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_the_command_gives_the_rows_of_atlaspatch(case: dict[str, Any], kind: str, tmp_path: Path):
    width, height = case["wh"]
    paint_glass(tmp_path / "a.svs", width, height, mpp=10 / case["mag"], levels=tuple(case["ds"]))
    mask = np.zeros(case["mask"], bool)
    for x, y, across, down, value in case["rects"]:
        mask[y : y + down, x : x + across] = value
    write_mask(tmp_path / "masks", kind, mask, contours_of(mask, width, height, case["tt"]))
    step = ["--step-size", case["step"]] if case["step"] else []
    sizes = ["--patch-size", case["ps"], "--target-mag", case["tm"], "--tissue-thresh", case["tt"], *step]
    assert rows_of(tmp_path, *sizes) == [list(row) for row in dict.fromkeys(map(tuple, case["rows"]))]


@st.composite
def painted_masks(draw: st.DrawFn) -> np.ndarray:
    """Draw pieces that touch, overlap and have holes, and specks that meet at corners."""
    mask = np.zeros((96, 128), bool)
    for _ in range(draw(st.integers(1, 6))):
        x, y, across, down = (draw(st.integers(0, high)) for high in (110, 80, 60, 50))
        mask[y : y + down + 1, x : x + across + 1] ^= draw(st.sampled_from((True, True, False)))
    for seed in draw(st.lists(st.integers(0, 2**16), max_size=2)):
        mask ^= np.random.default_rng(seed).random(mask.shape) > 0.995
    return mask


@examples(6)
@given(mask=painted_masks(), thresh=st.sampled_from((0.0, 0.01, 0.05)), sizes=st.sampled_from(((64, 64), (48, 31))))
def test_random_masks_give_what_four_points_of_opencv_say(mask: np.ndarray, thresh: float, sizes: Sequence[int]):
    mask[0, 0] = False
    contours = contours_of(mask, 2048, 1536, thresh)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paint_glass(folder / "a.svs", 2048, 1536, mpp=0.5, levels=(1,))
        write_mask(folder / "masks", "png", mask, contours)
        words = ["--patch-size", sizes[0], "--step-size", sizes[1], "--target-mag", 20, "--tissue-thresh", thresh]
        found = [row[:2] for row in rows_of(folder, *words)]
    assert found == [corner for corner in probed(contours, *sizes) if corner[0] < 2048 and corner[1] < 1536]
