"""How stages look as assets."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from small_projects import ENCODERS, GEOMETRY, project

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.slides.assets import build_slide_assets
from atlaspatch_assets.lib.stages import NO_WEIGHTS, asset_specs
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe, make_recipe


def with_encoders(recipe: Recipe, *names: str) -> Recipe:
    """Return the recipe with patch encoders of these names beside its own."""
    coords = recipe.stages[2]
    stages = [
        OutputSpec(
            OutputKey("patch_features", name),
            (coords.step,),
            None,
            replace(PATCH_ENCODERS["efficientnet_lite0"], name=name),
            coords.geometry,
        )
        for name in names
    ]
    return Recipe(recipe.project, (*recipe.stages, *stages))


def test_the_graph_runs_from_slide_to_embedding(tmp_path):
    specs = asset_specs(make_recipe(project(tmp_path, encoders=True)))

    graph = {spec.key.to_user_string(): [dep.asset_key.to_user_string() for dep in spec.deps] for spec in specs}

    assert graph == {
        "slide": [],
        "tissue_mask": ["slide"],
        "patch_coords": ["slide", "tissue_mask"],
        "patch_features/efficientnet_lite0": ["patch_coords"],
        "slide_embedding/mean-efficientnet_lite0": ["patch_coords", "patch_features/efficientnet_lite0"],
    }
    assert [spec.group_name for spec in specs] == ["slides", "tissue"] + ["patches_256px_20x"] * 3


def test_geometries_with_names_have_assets_and_groups_of_their_own(tmp_path):
    geometries = [GEOMETRY | ENCODERS | {"name": name} for name in ("20x_256px", "fine-10x")]
    specs = asset_specs(make_recipe(project(tmp_path, geometry=geometries)))

    keys = [spec.key.to_user_string() for spec in specs]

    assert len(keys) == len(set(keys)) == 8
    assert "fine-10x/patch_features/efficientnet_lite0" in keys
    assert {spec.group_name for spec in specs} == {"slides", "tissue", "20x_256px", "fine_10x"}


def test_names_with_dashes_dots_and_plus_signs_become_assets(tmp_path):
    recipe = with_encoders(make_recipe(project(tmp_path)), "uni-2.1", "a+b")

    dg.Definitions.validate_loadable(dg.Definitions(assets=[build_slide_assets(recipe)]))

    keys = [spec.key.path[-1] for spec in asset_specs(recipe)]
    assert keys[-2:] == ["uni-2.1", "a_plus_b"]


def test_names_that_dagster_cannot_tell_apart_are_refused_with_both(tmp_path):
    recipe = with_encoders(make_recipe(project(tmp_path)), "uni-2", "uni.2")

    with pytest.raises(InvalidProject, match=r"patch_features/uni-2 and patch_features/uni\.2"):
        asset_specs(recipe)


def test_the_page_of_features_says_shape_type_file_encoder_and_licence(tmp_path):
    spec = asset_specs(make_recipe(project(tmp_path, encoders=True)))[3]

    for words in ("float32", "(patches, 1280)", "<stem>.h5", "features/efficientnet_lite0", "Apache-2.0", "0.5 µm"):
        assert words in (spec.description or "")
    assert spec.metadata["dim"] == 1280
    assert spec.metadata["license"] == "Apache-2.0"


def test_every_code_version_changes_with_its_own_settings_alone(tmp_path):
    versions = code_versions(project(tmp_path, encoders=True))

    other_step = code_versions(project(tmp_path, geometry=[GEOMETRY | ENCODERS | {"step_size": 128}]))
    other_tissue = code_versions(project(tmp_path, encoders=True, tissue={"closing_um": 20.0}))
    other_device = code_versions(project(tmp_path, encoders=True, runtime={"device": "cuda"}))

    assert changed(versions, other_step) == {"patch_coords"}
    assert changed(versions, other_tissue) == {"tissue_mask"}
    assert changed(versions, other_device) == set()


def test_an_encoder_without_weights_is_an_asset_all_the_same(tmp_path):
    weights = {"efficientnet_lite0": Path("nowhere.pth")}

    versions = code_versions(project(tmp_path, encoders=True, weights=weights))

    assert versions["patch_features/efficientnet_lite0"] == NO_WEIGHTS
    dg.Definitions.validate_loadable(build_definitions(project(tmp_path, encoders=True, weights=weights)))


def code_versions(of) -> dict[str, str | None]:
    return {spec.key.to_user_string(): spec.code_version for spec in asset_specs(make_recipe(of))}


def changed(before: dict, after: dict) -> set[str]:
    return {key for key in before if before[key] != after[key]}


def test_the_page_of_an_asset_shows_the_layout_of_its_file(tmp_path):
    specs = {spec.key.to_user_string(): spec for spec in asset_specs(make_recipe(project(tmp_path, encoders=True)))}

    columns = {key: spec.metadata["dagster/column_schema"].columns for key, spec in specs.items() if key != "slide"}

    assert [column.name for column in columns["patch_coords"]][-2:] == ["tissue_fraction", "passports"]
    (features,) = columns["patch_features/efficientnet_lite0"]
    assert (features.name, features.type) == ("features/efficientnet_lite0", "float32 (patches, 1280)")
    (embedding,) = columns["slide_embedding/mean-efficientnet_lite0"]
    assert embedding.type == "float32 (1280,)"
