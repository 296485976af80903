"""The rule of TRIDENT through the command line: squares that touch its outlines, simplified as it simplifies them.

Shapely, square by square, says what its published rule gives.
"""

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_glass
from rounds import examples

from atlaspatch_core.cli.main import cli

WIDTH, HEIGHT = 3000, 2100


def star(x: float, y: float, radius: float, seed: int) -> shapely.Polygon:
    """Return an outline of whole px with many corners, as masks have them."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 200))
    reach = radius * (1 + 0.3 * np.sin(5 * angles + seed) + rng.uniform(-0.1, 0.1, 200))
    points = np.round(np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1))
    drawn = shapely.make_valid(shapely.Polygon(points), method="structure", keep_collapsed=False)
    return max(shapely.get_parts(drawn), key=lambda part: part.area)


STARS = st.builds(
    star, st.sampled_from((500, 1500, 2600)), st.sampled_from((400, 1500)), st.integers(20, 380), st.integers(0, 999)
)


def chosen(
    polygons: list[shapely.Polygon], side: int, overlap: int, downsample: float, least: float
) -> list[list[int]]:
    """Return the corners that TRIDENT keeps, row by row."""
    tissue = shapely.union_all([polygon.simplify(side / 4) for polygon in polygons])
    size = round(side * downsample)
    step = size - round(overlap * downsample)
    corners = [[x, y] for y in range(0, HEIGHT, step) for x in range(0, WIDTH, step)]
    squares = [shapely.box(x, y, x + size, y + size) for x, y in corners]
    if least:
        return [
            c for c, square in zip(corners, squares, strict=True) if square.intersection(tissue).area >= least * size**2
        ]
    return [corner for corner, square in zip(corners, squares, strict=True) if square.intersects(tissue)]


@pytest.mark.quick
@examples(8)
@given(
    polygons=st.lists(STARS, min_size=1, max_size=3, unique_by=lambda piece: piece.centroid.x // 800),
    cut=st.sampled_from(((128, 0, 20), (128, 31, 20), (96, 33, 15), (64, 0, 10))),
    least=st.sampled_from((0.0, 0.0, 0.15, 0.6)),
)
def test_the_command_gives_the_patches_of_tridents_rule(polygons, cut, least):
    side, overlap, mag = cut
    features = [
        {"type": "Feature", "properties": {"tissue_id": i}, "geometry": piece.__geo_interface__}
        for i, piece in enumerate(polygons)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paint_glass(folder / "a.svs", WIDTH, HEIGHT, mpp=0.5, levels=(1,))
        (folder / "masks").mkdir()
        (folder / "masks" / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        words = [
            "run",
            "--task",
            "coords",
            "--wsi-dir",
            folder / "a.svs",
            "--job-dir",
            folder / "job",
            "--masks",
            folder / "masks",
        ]
        words += ["--patch-size", side, "--overlap", overlap, "--mag", mag, "--min-tissue-proportion", least]
        words += ["--scale", "nominal", "--segmenter", "otsu"]
        result = CliRunner().invoke(cli, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        with h5py.File(next((folder / "job").glob("*/patches/a.h5"))) as file:
            found = file["coords"][:, :2].tolist()  # pyright: ignore[reportIndexIssue]
    assert found == chosen(polygons, side, overlap, 20 / mag, least)
