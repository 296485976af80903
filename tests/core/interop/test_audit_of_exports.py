"""What ``export`` writes, ``audit`` finds nothing wrong with, whatever the scale of the slides."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from exporting import exported, make, paint, recipe_of
from hypothesis import example, given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.interop.export import LAYOUTS

COORDS_ONLY = {"patch_encoders": [], "slide_encoders": []}


def audited(folder: Path) -> tuple[int, str]:
    """Return exit code and last line."""
    result = CliRunner().invoke(cli, ["audit", str(folder)])
    return result.exit_code, result.output.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    """Results of two slides of nearly the same scale."""
    folder = tmp_path_factory.mktemp("uneven")
    make(recipe_of(folder), [paint(folder, "a", mpp=0.499), paint(folder, "b", mpp=0.4553)])
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_audit_finds_no_problem_in_any_layout(uneven, tmp_path, layout):
    fates = exported(recipe_of(uneven), layout, tmp_path)
    assert all(fate.fate.fine for fate in fates.values())
    code, last = audited(tmp_path)
    assert (code, "2 slides" in last, "0 problems" in last) == (0, True, True)


@pytest.mark.e2e
@examples(12)
@example(mpps=[0.2])
@given(mpps=st.lists(st.floats(0.17, 0.5), min_size=1, max_size=3))
def test_any_scale_of_slides_is_no_problem(tmp_path_factory, mpps):
    folder = tmp_path_factory.mktemp("scales")
    recipe = recipe_of(folder, geometry=COORDS_ONLY)
    make(recipe, [paint(folder, f"s{number}", mpp=round(mpp, 4)) for number, mpp in enumerate(mpps)])
    for layout in ("trident", "clam", "geojson"):
        exported(recipe, layout, folder / layout)
        code, last = audited(folder / layout)
        assert (code, "0 problems" in last) == (0, True)


def test_patches_of_another_magnification_than_their_folder_stay_a_problem(uneven, tmp_path):
    exported(recipe_of(uneven), "trident", tmp_path)
    [home] = [path for path in tmp_path.iterdir() if path.name.startswith("20x")]
    home.rename(tmp_path / home.name.replace("20x", "10x"))
    assert audited(tmp_path)[0] == 1


def test_a_changed_file_of_an_export_is_a_problem(uneven, tmp_path):
    exported(recipe_of(uneven), "geojson", tmp_path)
    [path, *_] = sorted(tmp_path.rglob("*.geojson"))
    path.write_text("{}")
    assert audited(tmp_path)[0] == 1
