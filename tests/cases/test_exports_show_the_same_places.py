"""What is exported names the places of the patches: a program that reads there finds the pixels that were encoded."""

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from commands import encode, mean_colours, run
from hypothesis import given
from hypothesis import strategies as st
from paint import LOSSLESS, Page, difference, paint_scan, shrink, write_pages
from rounds import examples

pytestmark = pytest.mark.quick

SIZES = st.tuples(st.integers(200, 420), st.integers(180, 320))
NEAR = 1.5
"""Of 255: features are rounded, and averaged from a level."""


def features_of(file: h5py.File) -> np.ndarray:
    return np.asarray(file["features"])[..., :3].reshape(-1, 3) * 255


def assert_shows(pixels: np.ndarray, corners: np.ndarray, side: int, colours: np.ndarray) -> None:
    assert len(corners) == len(colours)
    assert np.abs(mean_colours(pixels, corners.astype(int), side) - colours).max() < NEAR


@given(
    size=SIZES,
    finer=st.sampled_from([1, 2, 4]),
    step=st.sampled_from([16, 24, 32, 40]),
    levels=st.booleans(),
    seed=st.integers(0, 99),
)
@examples(5)
def test_other_programs_find_the_encoded_pixels(size, finer, step, levels, seed):
    """Patches of 32 px are of a level, of none, or of level 0; with or without overlap."""
    pixels = paint_scan(*size, seed)
    side, output = 32 * finer, ["--target-mpp", 0.5 * finer, "--step-size", step]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = [Page(pixels), *([Page(shrink(pixels, 2), reduced=True)] if levels else [])]
        said = encode(write_pages(folder / "a.tif", pages), folder / "out", *output)
        assert said.code == 0, said.text
        with h5py.File(folder / "out" / "patches" / "a.h5") as file:
            own = np.asarray(file["coords"])[:, :2]
            colours = np.asarray(file["features/colour"])[:, :3] * 255
        assert_shows(pixels, own, side, colours)
        for layout in ("clam", "trident", "geojson"):
            done = run("export", "--output", folder / "out", "--layout", layout, "--to", folder / layout)
            assert done.code == 0, done.text
        for path in (folder / "clam").rglob("*.h5"):
            with h5py.File(path) as file:
                if "features" in file:
                    assert_shows(pixels, np.asarray(file["coords"])[:, :2], side, features_of(file))
                about = dict(file["coords"].attrs)
                if "patch_level" in about:
                    assert about["patch_size"] * (2 if about["patch_level"] else 1) == side
                    assert_shows(pixels, np.asarray(file["coords"])[:, :2], side, colours)
        for path in (folder / "trident").rglob("*.h5"):
            with h5py.File(path) as file:
                about = dict(file["coords"].attrs)
                assert about["patch_size_level0"] == side
                shown = features_of(file) if "features" in file else colours
                assert_shows(pixels, np.asarray(file["coords"]), side, shown)
        (tiles,) = (folder / "geojson").rglob("a.geojson")
        rings = [np.array(it["geometry"]["coordinates"][0]) for it in json.loads(tiles.read_text())["features"]]
        assert_shows(pixels, np.array([ring.min(axis=0) for ring in rings]), side, colours)
        assert {tuple(np.ptp(ring, axis=0)) for ring in rings} == {(side, side)}


@given(size=SIZES, factor=st.sampled_from([1, 2, 2.5]), tiled=st.booleans(), seed=st.integers(0, 99))
@examples(4)
def test_a_converted_slide_is_the_slide_at_every_level(size, factor, tiled, seed):
    pixels = paint_scan(size[0] * 2, size[1] * 2, seed)
    with tempfile.TemporaryDirectory() as name:
        write_pages(Path(name) / "a.tif", [Page(pixels, tiled=tiled)])
        words = ("--to", Path(name) / "to", "--downscale-by", factor, "--compression", "deflate")
        done = run("convert", Path(name) / "a.tif", *words)
        assert done.code == 0, done.text
        with tifffile.TiffFile(Path(name) / "to" / "a.tiff") as file:
            levels = [page.asarray() for page in file.pages]
            per_cm = [value[0] / value[1] for value in (file.pages[0].tags[tag].value for tag in (282, 283))]
        assert 1e4 / np.array(per_cm) == pytest.approx(0.5 * factor, rel=0.01)
        for level in levels:
            across = pixels.shape[1] / level.shape[1]
            assert across == pytest.approx(pixels.shape[0] / level.shape[0], rel=0.02)
            smaller = np.asarray(shrink(pixels, across))
            rows, columns = (min(a, b) for a, b in zip(level.shape[:2], smaller.shape[:2], strict=True))
            assert difference(level[:rows, :columns], smaller[:rows, :columns]) <= 3 * LOSSLESS
