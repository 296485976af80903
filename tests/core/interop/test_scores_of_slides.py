"""Rows and files of scores are of the slides that they name, and of no other; what is of none is told."""

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from exporting import make, paint, recipe_of
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores import columns

STEMS = ("007", "7", "S1", "S1.b", "Ünï")
"""Slides with patches at the same places, so that scores of one would fit another."""
WAYS = {
    "stem": str,
    "file": "{}.svs".format,
    "path": "/scans/day.1/{}.ome.tif".format,
    "Windows": "C:\\scans\\{}.svs".format,
    "decomposed": lambda stem: unicodedata.normalize("NFD", stem),
    "capitals": str.upper,
    "blanks": "  {} ".format,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    recipe = recipe_of(folder, geometry={"patch_encoders": [], "slide_encoders": []})
    make(recipe, [paint(folder, stem) for stem in STEMS])
    return folder / "out"


def overlay(*words: object):
    return CliRunner().invoke(cli, ["overlay", *map(str, words), "--on-white", "--format", "geojson"])


def table_of(out: Path, stems: list[str]) -> pd.DataFrame:
    """Return a table whose scores say of which slide they are."""
    frames = []
    for stem in stems:
        x, y = ap.results(out).coords(stem).T
        score = 100 * STEMS.index(stem) if stem in STEMS else 1000
        frames.append(pd.DataFrame({"stem": stem, "x": x, "y": y, "p": score + np.arange(len(x))}))
    return pd.concat(frames)


def drawn(folder: Path) -> dict[str, list[float]]:
    """Return slide to the scores that were drawn of it, in order."""
    tiles = {path.name.removesuffix(".geojson"): json.loads(path.read_text())["features"] for path in folder.iterdir()}
    return {
        stem: sorted(tile["properties"]["measurements"]["p"] for tile in of_slide) for stem, of_slide in tiles.items()
    }


@given(
    stems=st.lists(st.sampled_from(STEMS), min_size=1, unique=True),
    ways=st.fixed_dictionaries({stem: st.sampled_from([*WAYS]) for stem in STEMS}),
    others=st.lists(st.sampled_from(["S2", "S1_b", "unknown.svs"]), unique=True),
    suffix=st.sampled_from([".csv", ".parquet"]),
    seed=st.integers(0, 99),
)
@examples(40)
def test_a_row_is_of_the_slide_that_it_names_and_others_are_told(
    tmp_path_factory, out, stems, ways, others, suffix, seed
):
    folder = tmp_path_factory.mktemp("scores")
    table = table_of(out, stems)
    strangers = [table_of(out, ["S1"]).assign(stem=name, p=-1.0) for name in others]
    table["stem"] = [WAYS[ways[stem]](stem) for stem in table.stem]
    table = pd.concat([table, *strangers]).sample(frac=1, random_state=seed)
    path = folder / f"scores{suffix}"
    (table.to_csv if suffix == ".csv" else table.to_parquet)(path, index=False)
    said = overlay(out, "--scores", path, "--to", folder / "drawn")
    assert said.exit_code == 0, said.output
    wanted = {stem: [float(100 * STEMS.index(stem) + number) for number in range(4)] for stem in stems}
    assert drawn(folder / "drawn") == wanted
    assert ("are of none here: " in said.output) == bool(others)
    assert all(name in said.output for name in others)


@pytest.mark.parametrize("by_place", [True, False])
def test_rows_of_a_slide_of_a_similar_name_are_not_drawn(out, tmp_path, by_place):
    table = table_of(out, ["S1.b"]).drop(columns=[] if by_place else ["x", "y"])
    table.to_csv(tmp_path / "s.csv", index=False)
    said = overlay(out, "S1", "--scores", tmp_path / "s.csv", "--to", tmp_path / "drawn")
    assert (said.exit_code, "S1: " in said.output, "has no scores of it" in said.output) == (2, True, True)
    with pytest.raises(InvalidScores, match=r"S1: s.csv, column stem, names S1.b; name a row by the slide's stem"):
        ap.heat_map(out, "S1", tmp_path / "s.csv")
    both = pd.concat([table, table.assign(stem="S1")])
    assert np.isfinite(ap.heat_map(out, "S1", both.reset_index(drop=True), longest=64).values).any()


def test_what_names_a_slide_in_two_ways_may_mean_two(out, tmp_path):
    table = table_of(out, ["S1"])
    pd.concat([table.assign(stem="a/S1.svs"), table.assign(stem="b/S1.svs")]).to_csv(tmp_path / "s.csv", index=False)
    said = overlay(out, "--scores", tmp_path / "s.csv", "--to", tmp_path)
    assert said.exit_code == 1
    assert "FAILED S1: s.csv, column stem, names a/S1.svs, b/S1.svs; name them alike" in said.output


def test_files_of_a_folder_are_found_whatever_their_suffix_and_others_are_told(out, tmp_path):
    names = {"S1": "S1.CSV", "S1.b": "S1.b.csv", "Ünï": unicodedata.normalize("NFD", "Ünï.csv"), "7": "7.Csv"}
    (tmp_path / "in").mkdir()
    for stem, name in names.items():
        table_of(out, [stem]).drop(columns="stem").to_csv(tmp_path / "in" / name, index=False)
    for name in ("zzz.csv", "notes.txt", "S1.c.csv"):
        (tmp_path / "in" / name).write_text("x,y,p\n")
    said = overlay(out, "--scores", tmp_path / "in", "--to", tmp_path / "drawn")
    assert said.exit_code == 0, said.output
    assert "2 files are of none here: S1.c.csv, zzz.csv\n" in said.output
    assert {stem: scores[0] for stem, scores in drawn(tmp_path / "drawn").items()} == {
        stem: 100.0 * STEMS.index(stem) for stem in names
    }


def test_two_files_of_one_slide_are_refused(out, tmp_path):
    np.save(tmp_path / "7.npy", np.arange(4))
    (tmp_path / "7.csv").write_text("p\n1\n2\n3\n4\n")
    said = overlay(out, "--scores", tmp_path, "--to", tmp_path / "drawn")
    assert (said.exit_code, "7.csv and 7.npy are both of 7; move one" in said.output) == (2, True), said.output


def test_a_table_of_many_slides_is_read_once(out, tmp_path, monkeypatch):
    table_of(out, [*STEMS]).to_csv(tmp_path / "s.csv", index=False)
    reads, read = [], columns.READERS[".csv"]
    monkeypatch.setitem(columns.READERS, ".csv", lambda path: reads.append(path) or read(path))
    said = overlay(out, "--scores", tmp_path / "s.csv", "--to", tmp_path / "drawn")
    assert (said.exit_code, len(reads), len(drawn(tmp_path / "drawn"))) == (0, 1, len(STEMS)), said.output


def test_a_file_that_does_not_fit_fails_its_slide_alone(out, tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "7.npy", np.arange(4))
    np.save(tmp_path / "in" / "S1.npy", np.arange(3))
    said = overlay(out, "--scores", tmp_path / "in", "--to", tmp_path / "drawn")
    assert said.exit_code == 1
    assert "FAILED S1: S1.npy, column score has 3 rows, and the slide 4 patches" in said.output
    assert "2 slides: 1 drawn, 1 failed" in said.output


def test_what_is_stale_is_refused_with_what_to_do(tmp_path):
    make(recipe_of(tmp_path, geometry={"patch_encoders": [], "slide_encoders": []}), [paint(tmp_path, "a")])
    outlines = tmp_path / "out" / "contours_geojson" / "a.geojson"
    outlines.write_text(outlines.read_text().replace("256", "300"))
    os.utime(outlines, ns=(1, 1))
    np.save(tmp_path / "s.npy", np.arange(4))
    said = overlay(tmp_path / "out", "--scores", tmp_path / "s.npy", "--to", tmp_path / "drawn")
    assert "FAILED a: patch_coords is stale (upstream changed: tissue_mask)" in said.output
    assert "; run atlaspatch again, or take what is stale with --include-stale\n" in said.output
    words = ["--scores", tmp_path / "s.npy", "--to", tmp_path / "drawn", "--include-stale"]
    assert overlay(tmp_path / "out", *words).exit_code == 0
