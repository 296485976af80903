"""Scores lie where their patches do: in pictures, in pyramids, as outlines, and on sheets."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import shapely
import tifffile
from click.testing import CliRunner
from exporting import make, paint, recipe_of
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.interop.scores import ColourScale

PATCHES = {"a": 4, "b": 7}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Results of two slides at 10x of 20x scans, with patches that overlap by a half."""
    folder = tmp_path_factory.mktemp("lab")
    geometry = {"patch_size": 64, "target_mag": 10, "step_size": 32, "patch_encoders": [], "slide_encoders": []}
    make(recipe_of(folder, geometry=geometry), [paint(folder, stem, count) for stem, count in PATCHES.items()])
    return folder / "out"


def places_of(out: Path, stem: str) -> np.ndarray:
    return ap.results(out).coords(stem, include_stale=True)


def write_scores(out: Path, path: Path, stems: list[str]) -> pd.DataFrame:
    frames = []
    for number, stem in enumerate(stems):
        x, y = places_of(out, stem).T
        frames.append(pd.DataFrame({"stem": stem, "x": x, "y": y, "p": (x + 2 * y) / 4000 + number}))
    frame = pd.concat(frames)[::-1]
    frame.to_csv(path, index=False)
    return frame


def overlay(*words: object):
    return CliRunner().invoke(cli, ["overlay", *map(str, words)])


def expected_score(frame: pd.DataFrame, stem: str, x: float, y: float, side: int) -> float:
    """Return the mean of the scores of the patches over a place, level-0 px; NaN where there is none."""
    of = frame[(frame.stem == stem) & (frame.x <= x) & (x < frame.x + side) & (frame.y <= y) & (y < frame.y + side)]
    return float(of.p.mean()) if len(of) else float("nan")


def test_colours_lie_where_the_patches_do_and_a_legend_beside_them(out, tmp_path):
    frame = write_scores(out, tmp_path / "s.csv", ["a", "b"])
    options = ["--range", 0, 2, "--opacity", 1, "--colour-map", "viridis", "--longest", 1024, "--beyond-tissue"]
    said = overlay(out, "--scores", tmp_path / "s.csv", "--to", tmp_path / "o", *options)
    assert (said.exit_code, "2 slides: 2 drawn" in said.output) == (0, True), said.output
    scale, side = ColourScale(0, 2, "viridis"), ap.results(out).patch_size_level0("a")
    for stem in PATCHES:
        picture = cv2.imread(str(tmp_path / "o" / f"{stem}.png"))[..., ::-1]
        assert picture.shape[0] == 512
        assert picture.shape[1] > 1024
        below = ap.open_slide(ap.results(out).slide(stem).path).thumbnail(1024)
        for row, column in np.random.default_rng(5).integers(0, 512, (200, 2)).tolist():
            x, y = 2 * column + 1, 2 * row + 1
            score = expected_score(frame, stem, x, y, side)
            wanted = below[row, column] if np.isnan(score) else scale.colours(np.array([score], np.float32))[0]
            assert np.abs(picture[row, column].astype(int) - wanted).max() <= 1, (stem, x, y)


def test_the_pyramid_has_the_scale_of_its_slide_and_other_programs_read_it(out, tmp_path):
    write_scores(out, tmp_path / "s.csv", ["a"])
    said = overlay(out, "a", "--scores", tmp_path / "s.csv", "--to", tmp_path, "--format", "ome-tiff")
    assert said.exit_code == 0, said.output
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
        assert [level.shape[0] for level in tiff.series[0].levels] == [1024, 512, 256, 128]
    with ap.open_slide(tmp_path / "a.ome.tif") as drawn:
        info = ap.results(out).slide("a")
        assert drawn.mpp == pytest.approx(info.mpp)
        assert drawn.dimensions == (info.width, info.height)
        assert len(drawn.levels) == 4


def test_tiles_have_the_score_as_measurement_and_lie_where_the_patches_do(out, tmp_path):
    frame = write_scores(out, tmp_path / "s.csv", ["b"])
    assert overlay(out, "b", "--scores", tmp_path / "s.csv", "--to", tmp_path, "--format", "geojson").exit_code == 0
    tiles = json.loads((tmp_path / "b.geojson").read_text())["features"]
    side = ap.results(out).patch_size_level0("b")
    found = {tuple(tile["geometry"]["coordinates"][0][0]): tile["properties"]["measurements"]["p"] for tile in tiles}
    assert found == {(row.x, row.y): row.p for row in frame.itertuples()}
    ring = tiles[0]["geometry"]["coordinates"][0]
    assert (ring[2][0] - ring[0][0], ring[2][1] - ring[0][1]) == (side, side)
    names = {tile["properties"]["classification"]["name"] for tile in tiles}
    assert {"p 1 of 8", "p 8 of 8"} <= names


def test_outside_the_outlines_a_heat_map_is_blank(out):
    read = ap.results(out)
    scores = np.ones(len(read.coords("a")))
    whole, clipped = (ap.heat_map(read, "a", scores, longest=1024, beyond_tissue=beyond) for beyond in (True, False))
    seen = 0
    for row, column in np.random.default_rng(2).integers(0, 512, (300, 2)).tolist():
        place = shapely.Point((clipped.affine @ (column + 0.5, row + 0.5, 1))[:2])
        if any(piece.exterior.distance(place) < 8 for piece in read.tissue("a")):
            continue  # px on the line
        is_tissue = any(piece.contains(place) for piece in read.tissue("a"))
        seen += is_tissue
        assert np.isfinite(clipped.values[row, column]) == (is_tissue and np.isfinite(whole.values[row, column]))
    assert seen > 20


def test_ranks_go_from_above_0_to_1_and_equal_scores_share_theirs(out, tmp_path):
    x, y = places_of(out, "a").T
    pd.DataFrame({"x": x, "y": y, "p": np.where(x < 600, 1e-9, x * 1e6)}).to_csv(tmp_path / "s.csv", index=False)
    words = ["--ranks", "--format", "geojson"]
    assert overlay(out, "a", "--scores", tmp_path / "s.csv", "--to", tmp_path, *words).exit_code == 0
    tiles = json.loads((tmp_path / "a.geojson").read_text())["features"]
    found = {tuple(t["geometry"]["coordinates"][0][0]): t["properties"]["measurements"]["p (rank)"] for t in tiles}
    ranks = np.array([found[place] for place in zip(x.tolist(), y.tolist(), strict=True)])
    low = x < 600
    assert ranks[low].tolist() == pytest.approx([(low.sum() + 1) / 2 / len(x)] * low.sum())
    assert (np.diff(ranks[~low][np.argsort(x[~low], kind="stable")]) >= 0).all()
    assert ranks.max() <= 1


def test_a_sheet_shows_the_patches_with_the_highest_scores_first(out, tmp_path):
    frame = write_scores(out, tmp_path / "s.csv", ["a"])
    words = ["--format", "sheet", "--top", 3, "--bottom", 2]
    assert overlay(out, "a", "--scores", tmp_path / "s.csv", "--to", tmp_path, *words).exit_code == 0
    sheet = cv2.imread(str(tmp_path / "a_patches.png"))[..., ::-1]
    x, y = frame.sort_values("p").iloc[-1][["x", "y"]]
    side = ap.results(out).patch_size_level0("a")
    with ap.open_slide(ap.results(out).slide("a").path) as slide:
        pixels = slide.read_region(ap.Region(int(x), int(y), 0, side, side))
    assert np.abs(sheet[8:232, 8:232].mean((0, 1)) - pixels.mean((0, 1))).max() < 3
    assert sheet.shape == (2 * 252 + 8, 3 * 232 + 8, 3)


def test_over_white_the_slide_need_not_be_there(out, tmp_path, monkeypatch):
    write_scores(out, tmp_path / "s.csv", ["a"])
    path = ap.results(out).slide("a").path
    hidden = path.with_name("hidden")
    path.rename(hidden)
    try:
        missing = overlay(out, "a", "--scores", tmp_path / "s.csv", "--to", tmp_path)
        drawn = overlay(out, "a", "--scores", tmp_path / "s.csv", "--to", tmp_path, "--on-white")
    finally:
        hidden.rename(path)
    assert (missing.exit_code, missing.output.startswith("FAILED a: ")) == (1, True)
    assert drawn.exit_code == 0, drawn.output
    assert (cv2.imread(str(tmp_path / "a.png"))[:8, :8] == 255).all()


def test_percentiles_that_leave_one_number_show_what_lies_beyond_it(out, tmp_path):
    x, y = places_of(out, "b").T
    scores = np.zeros(len(x))
    scores[[3, 5]] = 0.2, 0.5
    pd.DataFrame({"x": x, "y": y, "p": scores}).to_csv(tmp_path / "s.csv", index=False)
    words = ["--percentiles", 1, 50, "--format", "geojson", "--format", "png", "--on-white", "--opacity", 1]
    said = overlay(out, "b", "--scores", tmp_path / "s.csv", "--to", tmp_path, *words)
    assert said.exit_code == 0, said.output
    tiles = json.loads((tmp_path / "b.geojson").read_text())["features"]
    classes = [(tile["properties"]["measurements"]["p"], tile["properties"]["classification"]) for tile in tiles]
    assert {name["name"] for score, name in classes if score > 0} == {"p 8 of 8"}
    assert {name["name"] for score, name in classes if score == 0} == {"p 5 of 8"}
    colours = {tuple(colour) for colour in cv2.imread(str(tmp_path / "b.png"))[:1024, :2048, ::-1].reshape(-1, 3)}
    table = ColourScale(0, 1).table()
    assert colours >= {tuple(table[128]), tuple(table[255])}


def test_a_slide_that_cannot_be_drawn_stops_no_other(out, tmp_path):
    write_scores(out, tmp_path / "s.csv", ["b"])
    with (tmp_path / "s.csv").open("a") as file:
        file.write("a,3,3,0.5\n")
    said = overlay(out, "--scores", tmp_path / "s.csv", "--to", tmp_path / "o", "--on-white")
    assert said.exit_code == 1
    assert "FAILED a: s.csv: 1 of 1 rows lie where no patch does" in said.output
    assert "2 slides: 1 drawn, 1 failed" in said.output
    assert (tmp_path / "o" / "b.png").is_file()


@examples(12)
@given(rows=st.data())
def test_patches_without_a_score_are_told_of(out, tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "some.csv"
    frame = write_scores(out, path, ["a"])
    given_rows = rows.draw(st.lists(st.sampled_from(range(len(frame))), min_size=1, unique=True))
    frame.iloc[given_rows].to_csv(path, index=False)
    said = overlay(out, "--scores", path, "--to", path.parent / "some", "--on-white", "--longest", 64)
    blank = len(frame) - len(given_rows)
    wanted = f"a.png; {blank} of {len(frame)} patches have no score and stay blank\n" if blank else "a.png\n"
    assert wanted in said.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["zz"], "zz: "),
        (["--range", 1, 1], "--range 1 1: give the lower first"),
        (["--percentiles", 99, 1], "--percentiles 99 1: give the lower first"),
        (["--range", 0, 1e300], "--range 0 1e+300: give numbers from -3.4e+38 to 3.4e+38"),
        (["--top", 4097], "'--top': 4097 is not in the range 1<=x<=4096"),
        (["--bottom", 4097], "'--bottom': 4097 is not in the range 0<=x<=4096"),
        (["--geometry", "no"], "no"),
    ],
)
def test_wrong_usage_is_one_sentence(out, tmp_path, words, why):
    write_scores(out, tmp_path / "s.csv", ["a", "b"])
    said = overlay(out, *words, "--scores", tmp_path / "s.csv", "--to", tmp_path)
    assert (said.exit_code, why in said.output) == (2, True), said.output


def test_the_help_says_no_range_where_there_is_none():
    said = overlay("--help").output
    assert "None" not in said
    assert "RANGE" not in said


def test_python_gives_the_same_numbers_as_an_array_with_its_place(out):
    read = ap.results(out)
    coords, side = read.coords("a"), read.patch_size_level0("a")
    scores = np.arange(len(coords), dtype=float)
    heat = ap.heat_map(read, "a", scores, longest=1024, beyond_tissue=True)
    assert heat.values.shape == (512, 1024)
    frame = pd.DataFrame({"stem": "a", "x": coords[:, 0], "y": coords[:, 1], "p": scores})
    for row, column in np.random.default_rng(1).integers(0, 512, (100, 2)).tolist():
        x, y, _ = heat.affine @ (column + 0.5, row + 0.5, 1)
        np.testing.assert_allclose(heat.values[row, column], expected_score(frame, "a", x, y, side), rtol=1e-5)
    assert np.array_equal(
        ap.heat_map(out, "a", frame, longest=64).values,
        ap.heat_map(out, "a", scores, longest=64).values,
        equal_nan=True,
    )
