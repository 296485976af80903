"""Scores on three slides against a picture that is drawn by hand, px after px, and opened beside the slide.

One slide has patches side by side, one has patches that overlap, and one is a 40x scan with patches of 10x.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
import shapely
from click.testing import CliRunner
from exporting import make
from known_attention import paint_scan, recipe_with_abmil
from moreland import COOLWARM

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli

OPACITY = 0.6
EDGE = 4.0
"""Level-0 px beside the edge of a patch or an outline of which nothing is said: half a px of the picture."""


class Case(NamedTuple):
    """A scan and the patches on it."""

    mpp: float
    patch_size: int
    step_size: int
    magnification: float

    @property
    def side(self) -> int:
        """Of a patch, level-0 px, as arithmetic has it: px at the target scale times how much coarser that is."""
        return round(self.patch_size * (10 / self.magnification) / self.mpp)


CASES = {
    "side by side": Case(0.5, 128, 128, 20),
    "overlapping": Case(0.5, 128, 48, 20),
    "10x of 40x": Case(0.25, 64, 32, 10),
}


class Scored(NamedTuple):
    """A slide whose scores were drawn, and the table of these."""

    case: Case
    out: Path
    folder: Path
    table: pd.DataFrame


@pytest.fixture(scope="module", params=CASES)
def scored(request, tmp_path_factory) -> Scored:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("scored")
    geometry = {"patch_size": case.patch_size, "step_size": case.step_size, "target_mag": case.magnification}
    make(recipe_with_abmil(folder, **geometry, slide_encoders=[]), [paint_scan(folder, "a", mpp=case.mpp)])
    x, y = ap.results(folder / "out").coords("a").T
    chance = np.random.default_rng(7)
    table = pd.DataFrame({"x": x, "y": y, "p": chance.random(len(x))}).sample(frac=0.9, random_state=1)
    table.to_csv(folder / "scores.csv", index=False)
    words = ["--format", "png", "--format", "ome-tiff", "--format", "geojson", "--longest", 512, "--opacity", OPACITY]
    words += ["--colour-map", "coolwarm", "--range", 0, 1, "--to", folder / "drawn"]
    said = CliRunner().invoke(cli, ["overlay", *map(str, [folder / "out", "--scores", folder / "scores.csv", *words])])
    assert said.exit_code == 0, said.output
    return Scored(case, folder / "out", folder / "drawn", table)


def by_hand(scored: Scored, x: float, y: float) -> float | None:
    """Return what a place, level-0 px, is to show: the mean of the patches over it; NaN for none, None near an edge."""
    side, scores = scored.case.side, []
    for row in scored.table.itertuples():
        inside = (min(x - row.x, row.x + side - x), min(y - row.y, row.y + side - y))
        if min(inside) > -EDGE and min(map(abs, inside)) < EDGE:
            return None
        if min(inside) >= 0:
            scores.append(row.p)
    return float(np.mean(scores)) if scores else float("nan")


def blue_to_red(value: float) -> np.ndarray:
    """Return the colour of a number from 0 to 1, between the two of the paper's table beside it."""
    return np.array([np.interp(value, np.linspace(0, 1, 33), channel) for channel in zip(*COOLWARM, strict=True)])


def places(scored: Scored, count: int = 400):
    """Yield px of the picture, and the place of their middle in level-0 px; none on the line of an outline."""
    info = ap.results(scored.out).slide("a")
    lines = [piece.boundary for piece in ap.results(scored.out).tissue("a")]
    for column, row in np.random.default_rng(3).integers((0, 0), (512, 384), (count, 2)).tolist():
        x, y = (column + 0.5) * info.width / 512, (row + 0.5) * info.height / 384
        if all(line.distance(shapely.Point(x, y)) > 2 * EDGE for line in lines):
            yield column, row, x, y


def test_patches_have_the_size_that_arithmetic_says(scored):
    assert ap.results(scored.out).patch_size_level0("a") == scored.case.side


def test_px_have_the_colours_of_the_picture_drawn_by_hand(scored):
    picture = cv2.imread(str(scored.folder / "a.png"))[..., ::-1].astype(float)
    tissue = shapely.MultiPolygon(ap.results(scored.out).tissue("a"))
    with ap.open_slide(ap.results(scored.out).slide("a").path) as slide:
        below = slide.thumbnail(512).astype(float)
    coloured = blank = 0
    for column, row, x, y in places(scored):
        score = by_hand(scored, x, y)
        if score is None:
            continue
        is_blank = np.isnan(score) or not tissue.contains(shapely.Point(x, y))
        colour = below[row, column] if is_blank else blue_to_red(score) * OPACITY + below[row, column] * (1 - OPACITY)
        assert np.abs(picture[row, column] - colour).max() <= 4, (column, row, score)
        coloured, blank = coloured + (not is_blank), blank + is_blank
    assert coloured > 30
    assert blank > 30


def test_the_pyramid_opened_beside_the_slide_shows_the_same_places(scored):
    """Where no score is, the pyramid is the slide; where one is, it has the colour of the picture by hand over it."""
    info = ap.results(scored.out).slide("a")
    tissue = shapely.MultiPolygon(ap.results(scored.out).tissue("a"))
    with ap.open_slide(info.path) as slide, ap.open_slide(scored.folder / "a.ome.tif") as drawn:
        assert drawn.mpp == pytest.approx(info.mpp * info.width / 512)
        factor = drawn.mpp / slide.mpp
        seen = 0
        for column, row, x, y in places(scored, 150):
            score = by_hand(scored, x, y)
            if score is None or np.isnan(score) or not tissue.contains(shapely.Point(x, y)):
                continue
            shown = drawn.read_region(ap.Region(int(x / factor), int(y / factor), 0, 1, 1))[0, 0].astype(float)
            part = ap.Region(int(column * factor), int(row * factor), 0, int(factor), int(factor))
            there = slide.read_region(part).reshape(-1, 3).mean(axis=0)
            assert np.abs(shown - (blue_to_red(score) * OPACITY + there * (1 - OPACITY))).max() <= 6, (x, y)
            seen += 1
        assert seen > 10


def test_tiles_are_squares_of_the_patches_with_their_scores(scored):
    tiles = json.loads((scored.folder / "a.geojson").read_text())["features"]
    side = scored.case.side
    squares = {
        shapely.Polygon(tile["geometry"]["coordinates"][0]).bounds: tile["properties"]["measurements"]["p"]
        for tile in tiles
    }
    assert squares == {(row.x, row.y, row.x + side, row.y + side): row.p for row in scored.table.itertuples()}
