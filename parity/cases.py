"""Cases as data: a painted slide, a mask, options, and what a tool gave; see docs/parity.md for the format."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from painting import paint_slide
from PIL import Image

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "parity" / "seeded.py"
Case = dict[str, Any]


def read_cases(folder: Path) -> list[Case]:
    """Return the cases of all files of a folder, each with the tool and version of its file."""
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [{**case, "tool": file["tool"], "version": file["version"]} for file in files for case in file["cases"]]


def paint(case: Case, folder: Path) -> None:
    """Write slide and mask of a case: ``a.svs``, ``masks/a.png`` and ``mask.npy``."""
    (folder / "masks").mkdir(parents=True)
    width, height = case["size"]
    rng = np.random.default_rng(case["seed"])
    coarse = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    pixels = coarse.repeat(16, 0).repeat(16, 1)[:height, :width] + rng.integers(0, 56, (height, width, 3), np.uint8)
    mag = case["magnification"]
    paint_slide(folder / "a.svs", pixels, mpp=10 / mag, levels=tuple(case["levels"]), objective_power=mag)
    mask = np.zeros(case["mask"], bool)
    for x, y, across, down, value in case["rects"]:
        mask[y : y + down, x : x + across] = value
    np.save(folder / "mask.npy", mask)
    if "outlines" in case:
        (folder / "masks" / "a.geojson").write_text(json.dumps(case["outlines"]))
    else:
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / "a.png")


def shared_options(case: Case) -> list[str]:
    """Return the options that both tools call the same."""
    words = ["--patch-size", case["patch_size"], "--step-size", case["step_size"], "--target-mag", case["target_mag"]]
    words += ["--tissue-thresh", case["tissue_thresh"], "--feature-plugin", PLUGIN, "--device", "cpu"]
    return [str(word) for word in words]


def our_command(case: Case, folder: Path, out: Path) -> list[str]:
    """Return the words after ``atlaspatch`` by which a case is computed here."""
    words = ["encode-slide", str(folder / "a.svs"), "-o", str(out), "--masks", str(folder / "masks")]
    rule = ["--rule", case["tool"], "--scale", "nominal", "--patch-encoders", "seeded"]
    return [*words, *rule, *shared_options(case)]


def read_result(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return coords (n, 5) and features (n, 16) of a file, rows that occur twice once, where they occur first."""
    with h5py.File(path) as file:
        coords, features = np.asarray(file["coords"], np.int64), np.asarray(file["features/seeded"], np.float64)
    first = np.sort(np.unique(coords[:, :2], axis=0, return_index=True)[1])
    return coords[first], features[first]


def checksums(features: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return sums over rows, plain and by the number of the row, so that an order that differs shows."""
    numbers = np.arange(1, len(features) + 1)
    return {"sum": rounded(features.sum(0)), "by_row": rounded(numbers @ features / max(1, numbers.sum()))}


def rounded(numbers: Iterable[float]) -> list[float]:
    """Return numbers to be written."""
    return [round(float(number), 6) for number in numbers]
