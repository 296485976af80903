"""The project file: what it says, what it refuses, and where its paths lead."""

from pathlib import Path

import pytest

from atlaspatch_core.config.project import load_project, make_project
from atlaspatch_core.errors import InvalidProject

pytestmark = pytest.mark.quick

GEOMETRY = {"patch_size": 256, "target_mag": 20}

GEOMETRY_LINES = "[[geometry]]\npatch_size = 256\ntarget_mag = 20\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "atlaspatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path):
    project = load_project(
        written(tmp_path, 'output = "out"\n[slides]\nfolders = ["s"]\nmpp_csv = "m.csv"\n[weights]\nuni = "w.pt"')
    )
    assert project.output == tmp_path / "out"
    assert project.slides.folders == (tmp_path / "s",)
    assert project.slides.mpp_csv == tmp_path / "m.csv"
    assert project.weights == {"uni": tmp_path / "w.pt"}


def test_an_absolute_path_stays_as_it_is(tmp_path):
    assert load_project(written(tmp_path, 'output = "/data/out"')).output == Path("/data/out")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"otput": "x"}, "otput is no key; did you mean output"),
        ({"tissue": {"closing": 3}}, r"tissue.closing is no key; did you mean closing_um\?"),
        ({"tissue": {"closing_um": -1}}, "closing_um is -1"),
        ({"geometry": [{"patch_size": 0, "target_mag": 20}]}, "geometry.0.patch_size"),
        ({"geometry": [{"patch_size": 256}]}, "needs either target_mag or target_mpp"),
        ({"geometry": [GEOMETRY | {"target_mpp": 0.5}]}, "needs either target_mag or target_mpp"),
        ({"geometry": [GEOMETRY, GEOMETRY]}, "a name of its own"),
        ({"geometry": [GEOMETRY | {"name": "../x"}]}, "letters, digits"),
        ({"geometry": [GEOMETRY | {"min_tissue": 1.5}]}, "min_tissue"),
        ({"geometry": [GEOMETRY | {"filters": {"white_thresh": 0}}]}, "white_thresh is 0"),
        ({"geometry": [GEOMETRY | {"filters": {"wite_thresh": 3}}]}, "wite_thresh"),
        ({"runtime": {"feature_batch_size": 0}}, "feature_batch_size"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_place(values, complaint):
    with pytest.raises(InvalidProject, match=complaint):
        make_project(values, origin="atlaspatch.toml")


@pytest.mark.parametrize("size", [0, -1, True, 1.5, float("inf"), float("nan"), "many", "1_0", "", None, [8]])
def test_a_batch_size_that_is_none_is_told_in_one_sentence(size):
    with pytest.raises(InvalidProject) as caught:
        make_project({"runtime": {"feature_batch_size": size}}, origin="here")
    told = f"here: runtime.feature_batch_size: is no number of 1 or more, and not auto (given {size!r})"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("given", "meant"), [("AUTO", "auto"), (" Auto ", "auto"), ("8", 8), (8.0, 8), (10**400, 10**400)]
)
def test_a_batch_size_is_a_number_or_auto_in_any_case(given, meant):
    assert make_project({"runtime": {"feature_batch_size": given}}, origin="x").runtime.feature_batch_size == meant


def test_a_missing_project_file_says_how_to_write_one(tmp_path):
    with pytest.raises(InvalidProject, match="atlaspatch init"):
        load_project(tmp_path / "atlaspatch.toml")


def test_a_file_that_is_no_toml_is_named(tmp_path):
    with pytest.raises(InvalidProject, match=r"atlaspatch\.toml.*cannot be read"):
        load_project(written(tmp_path, "output = "))


def test_magnification_and_mpp_state_each_other():
    by_mag, by_mpp = (
        make_project({"geometry": [{"patch_size": 256, **target}]}, origin="x").geometry[0]
        for target in ({"target_mag": 20}, {"target_mpp": 0.5})
    )
    assert (by_mag.mpp, by_mpp.magnification) == (0.5, 20)
    assert by_mag.spec == by_mpp.spec


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[runtime]\ndevce = "cpu"', "runtime.devce (line 3) is no key; did you mean device?"),
        ('[runtme]\ndevice = "cpu"', "runtme (line 2) is no table; did you mean runtime?"),
        (f"{GEOMETRY_LINES}[geometry.filters]\nwite_thresh = 3", "(line 6) is no key; did you mean white_thresh?"),
        (f'{GEOMETRY_LINES}precision = "float6"', "(line 5): Input should be"),
        ('[quality]\nblock = [\n"no_tissue",\n"no_tisue"]', "(line 5; did you mean no_tissue?)"),
    ],
)
def test_a_typo_is_told_with_its_line_and_the_nearest_name(tmp_path, text, told):
    path = tmp_path / "atlaspatch.toml"
    path.write_text(f'output = "out"\n{text}\n')
    with pytest.raises(InvalidProject) as caught:
        load_project(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
