"""The recipe: the steps of a project, upstream first, known without torch."""

import subprocess
import sys

import pytest

from atlaspatch_core.config.project import make_project
from atlaspatch_core.errors import GeometryMismatch, UnknownName
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick


def recipe(**changes):
    geometry = {"patch_size": 256, "target_mag": 20, "slide_encoders": ["mean-efficientnet_lite0"]} | changes
    return make_recipe(make_project({"geometry": [geometry]}, origin="test"))


def test_a_slide_encoder_brings_its_patch_encoder_once_and_upstream_comes_first():
    steps = [str(stage.step) for stage in recipe(patch_encoders=["efficientnet_lite0"]).stages]
    assert steps == [
        "slide",
        "tissue_mask",
        "patch_coords",
        "patch_features/efficientnet_lite0",
        "slide_embedding/mean-efficientnet_lite0",
    ]


def test_equal_projects_have_equal_identities_and_speed_settings_do_not_matter():
    slow = make_project({"geometry": [{"patch_size": 256, "target_mag": 20}], "runtime": {"device": "cpu"}}, origin="x")
    fast = make_project(
        {"geometry": [{"patch_size": 256, "target_mag": 20}], "runtime": {"device": "cuda"}}, origin="x"
    )
    one, other = ([stage.identity({}).fingerprint for stage in make_recipe(project).stages] for project in (slow, fast))
    assert one == other


def test_how_patches_are_scaled_down_decides_the_features_and_no_coords():
    plain, dct = (
        {str(it.step): dict(it.settings or {}) for it in recipe(**it).stages} for it in ({}, {"downscale": "dct"})
    )
    features = "patch_features/efficientnet_lite0"
    assert plain[features] == {"precision": "float16"}
    assert dct == plain | {features: {"precision": "float16", "downscale": "dct"}}


def test_an_unknown_encoder_or_segmenter_is_named_with_near_names():
    with pytest.raises(UnknownName, match="efficientnet_lite0"):
        recipe(patch_encoders=["efficientnet_lite"])
    with pytest.raises(UnknownName, match="otsu"):
        make_recipe(make_project({"tissue": {"segmenter": "osu"}}, origin="test"))


def test_a_slide_encoder_made_for_other_patches_is_refused(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from dataclasses import replace\n"
        "from atlaspatch_core.encoders.slide import find_slide_encoder\n"
        "SLIDE_ENCODERS = [replace(find_slide_encoder('mean-efficientnet_lite0'), name='big', patch_size=512)]\n"
    )
    geometry = {"patch_size": 256, "target_mag": 20, "slide_encoders": ["big"]}
    with pytest.raises(GeometryMismatch, match=r"256 px does not suit .*big needs 512"):
        make_recipe(make_project({"geometry": [geometry], "plugins": [plugin]}, origin="test"))


def test_making_a_recipe_imports_no_torch():
    code = (
        "import sys\n"
        "from atlaspatch_core.config.project import make_project\n"
        "from atlaspatch_core.validity.recipe import make_recipe\n"
        "geometry = {'patch_size': 256, 'target_mag': 20, 'slide_encoders': ['mean-efficientnet_lite0']}\n"
        "make_recipe(make_project({'geometry': [geometry]}, origin='test'))\n"
        "print([name for name in ('torch', 'timm', 'dagster') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
