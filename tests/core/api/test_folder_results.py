"""``ap.results``: what it says of a folder is what the files hold and what ``atlaspatch status`` says."""

import json
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from cohorts import PATCHES, encode_cohort
from hypothesis import given
from hypothesis import strategies as st
from plugins import plugin_file
from rounds import examples
from tracked_folders import PLUGIN

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidLabels, InvalidProject, NoSlides, NotFresh, OutOfDate, UnknownName


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return encode_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def own(output, tmp_path) -> Path:
    """A copy that a test may change; its slides lie where they lay."""
    return shutil.copytree(output, tmp_path / "out")


def move_outline(output: Path, stem: str) -> None:
    path = output / "contours_geojson" / f"{stem}.geojson"
    collection = json.loads(path.read_text())
    ring = collection["features"][0]["geometry"]["coordinates"][0]
    collection["features"][0]["geometry"]["coordinates"][0] = [[x, y + 64] for x, y in ring]
    path.write_text(json.dumps(collection))


def read(output: Path, stem: str, dataset: str) -> np.ndarray:
    with h5py.File(output / "patches" / f"{stem}.h5") as file:
        return file[dataset][:]


@pytest.mark.quick
def test_what_results_read_is_what_the_files_hold(output):
    cohort = ap.results(output)

    assert cohort.stems == tuple(PATCHES)
    assert cohort.encoders == (("other", "tiny"), ("mean-tiny",), ())
    for stem, patches in PATCHES.items():
        assert cohort.features(stem, "tiny").shape == (patches, 3)
        assert np.array_equal(cohort.features(stem, "TINY"), read(output, stem, "features/tiny"))
        assert np.array_equal(cohort.coords(stem), read(output, stem, "coords")[:, :2])
    assert np.array_equal(cohort.embedding("b"), read(output, "b", "slide_features/mean-tiny"))
    assert (cohort.slide("a").mpp, cohort.slide("a").path.name, cohort.patch_size_level0("a")) == (0.5, "a.svs", 256)
    assert [polygon.area for polygon in cohort.tissue("c")] == [2 * 256**2]
    assert "patch_features/tiny: 5 fresh" in repr(cohort)


def test_states_are_those_that_the_command_tells(own):
    move_outline(own, "b")
    (own / "slides" / "c.json").write_text("no record")

    words = CliRunner().invoke(cli, ["status", str(own), "--json"])
    command = {(row["slide"], row["output"]): row["state"] for row in json.loads(words.output)}
    table = ap.results(own).states()
    outputs = table.output + table.encoder.map(lambda name: f"/{name}" if name else "")

    assert dict(zip(zip(table.stem, outputs, strict=True), table.state, strict=True)) == command
    assert set(command.values()) == {"fresh", "stale", "failed", "missing"}


def test_no_plugin_is_executed_to_read_results(own, tmp_path):
    shutil.copytree(own, tmp_path / "other" / "out")
    mark = tmp_path / "executed"
    path = plugin_file(PLUGIN)
    text = path.read_text()
    try:
        path.write_text(f"open({str(mark)!r}, 'w')\n{text}")
        ap.results(own).features("a", "tiny", include_stale=True)
    finally:
        path.write_text(text)
    assert not mark.exists()


def test_what_is_stale_is_read_only_when_told_to(own):
    move_outline(own, "b")
    cohort = ap.results(own)

    with pytest.raises(NotFresh, match=r"b: patch_features/tiny is stale \(upstream changed"):
        cohort.features("b", "tiny")
    assert cohort.features("b", "tiny", include_stale=True).shape == (3, 3)
    assert cohort.features("a", "tiny").shape == (4, 3)


def test_several_encoders_want_a_name_and_unknown_ones_are_named(output):
    cohort = ap.results(output)

    with pytest.raises(UnknownName, match=r"of the encoders 'other', 'tiny'; give one as encoder="):
        cohort.features("a")
    with pytest.raises(UnknownName, match="there is no encoder 'uni'; there is 'other', 'tiny'"):
        cohort.features("a", "uni")
    with pytest.raises(UnknownName, match="there is no geometry '10x'"):
        cohort.coords("a", "10x")
    with pytest.raises(NotFresh, match="x: there is no such slide in"):
        cohort.coords("x")
    with pytest.raises(UnknownName, match=": it has no patient embedding"):
        cohort.patient_embedding("a")


def test_a_folder_without_runs_and_project_is_judged_by_its_files(own):
    shutil.rmtree(own / "runs")
    move_outline(own, "b")
    cohort = ap.results(own)

    assert cohort.features("a", "tiny").shape == (4, 3)
    assert "the files alone" in repr(cohort)
    with pytest.raises(NotFresh, match="b: patch_features/tiny is stale"):
        cohort.features("b", "tiny")


def test_a_project_says_how_results_are_to_be(own, tmp_path):
    geometry = '[[geometry]]\npatch_size = 128\ntarget_mag = 20\npatch_encoders = ["tiny"]\n'
    plugin = f'plugins = ["{plugin_file(PLUGIN)}"]\n'
    for name, folder in (("atlaspatch.toml", "out"), ("elsewhere.toml", "elsewhere")):
        (tmp_path / name).write_text(f'output = "{folder}"\n{plugin}[slides]\nfolders = ["slides"]\n{geometry}')

    beside = ap.results(own)

    assert "atlaspatch.toml" in repr(beside)
    with pytest.raises(NotFresh, match=r"a: patch_coords is stale \(.*patch_size 256 → 128"):
        beside.coords("a")
    with pytest.raises(NotFresh, match="a: patch_features/other is stale"):
        beside.features("a", "other")
    with pytest.raises(InvalidProject, match="the project's output is"):
        ap.results(own, project=tmp_path / "elsewhere.toml")


def test_what_was_replaced_since_is_not_given_out(own):
    cohort = ap.results(own)
    with h5py.File(own / "patches" / "a.h5", "a") as file:
        file["features/tiny"].attrs["fingerprint"] = "0" * 16

    with pytest.raises(OutOfDate, match="was replaced since the folder was read"):
        cohort.features("a", "tiny")


def test_a_folder_without_results_is_said_to_have_none(tmp_path):
    with pytest.raises(NoSlides, match=r"there is no patches/<slide>\.h5 in it"):
        ap.results(tmp_path)


@pytest.mark.quick
@given(rows=st.lists(st.sampled_from([*PATCHES, "x", "y"]), unique=True, min_size=1), as_files=st.booleans())
@examples(20)
def test_embeddings_and_labels_are_joined_and_all_others_said_once(output, rows, as_files):
    cohort = ap.results(output)
    labels = pd.DataFrame({"slide_id": [f"{row}.svs" if as_files else row for row in rows], "grade": range(len(rows))})

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = cohort.embeddings(labels=labels)

    both = [stem for stem in ("a", "b", "c", "d") if stem in rows]
    assert list(table.index) == both
    assert list(table.grade) == [rows.index(stem) for stem in both]
    numbers = table[[f"mean-tiny_{place}" for place in range(3)]].to_numpy() if both else np.empty((0, 3))
    assert np.array_equal(numbers, np.array([cohort.embedding(stem) for stem in both]).reshape(-1, 3))
    [words] = [str(it.message) for it in caught if it.category is ap.ResultsWarning]
    assert "none: slide_embedding/mean-tiny is not there, for the slide has no patches" in words
    assert all((f"({name}" in words or f" {name}" in words) for name in {*"abcd"} - set(rows) | {"x", "y"} & set(rows))


def test_a_table_of_cases_gives_each_of_their_slides_its_row(tmp_path):
    output = encode_cohort(tmp_path)
    lines = [f"{case},slides/{stem}.svs" for stem, case in zip("abcd", ("p", "p", "q", "q"), strict=True)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,slide_path", *lines]))
    (tmp_path / "labels.csv").write_text("patient;grade\np;1\nq;2\n")
    patients = ap.results(output)
    with pytest.raises(InvalidLabels, match="patient names cases, and no table says which slides are whose"):
        patients.embeddings(labels=tmp_path / "labels.csv")

    plugins = f'plugins = ["{plugin_file(PLUGIN)}"]'
    geometry = '[[geometry]]\npatch_size = 256\ntarget_mag = 20\npatch_encoders = ["tiny"]\nprecision = "float32"'
    (tmp_path / "atlaspatch.toml").write_text(
        f'output = "out"\n{plugins}\n[slides]\nfolders = ["slides"]\n{geometry}\nslide_encoders = ["mean-tiny"]\n'
        '[patients]\nmanifest = "cases.csv"\nencoders = ["mean-tiny"]'
    )
    table = ap.results(output).embeddings(labels=tmp_path / "labels.csv")
    assert dict(zip(table.index, table.grade, strict=True)) == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_two_rows_of_one_slide_are_refused(output):
    labels = pd.DataFrame({"stem": ["a", "a.svs"], "grade": [1, 2]})
    with pytest.raises(InvalidLabels, match="two rows of column stem are of a"):
        ap.results(output).embeddings(labels=labels)


def test_the_table_of_slides_has_what_is_recorded_of_each(own):
    cohort = ap.results(own)
    table, infos = cohort.slides(), [cohort.slide(stem) for stem in PATCHES]
    (own / "slides" / "c.json").write_text("no record")
    with pytest.warns(ap.ResultsWarning, match=r"1 whose record cannot be read \(c\)"):
        without = ap.results(own).slides()

    assert list(table.index) == list(PATCHES)
    assert table.mpp.tolist() == [0.5] * 5
    assert table.path.tolist() == [info.path for info in infos]
    assert table[["width", "levels"]].to_numpy().tolist() == [[info.width, len(info.levels)] for info in infos]
    assert list(without.index) == ["a", "b", "d", "none"]


def test_a_slide_that_was_not_encoded_yet_is_missing(own, output):
    shutil.copy(output.parent / "slides" / "a.svs", output.parent / "slides" / "new.svs")
    try:
        table = ap.results(own).states()
    finally:
        (output.parent / "slides" / "new.svs").unlink()
    assert set(table[table.stem == "new"].state) == {"missing"}
