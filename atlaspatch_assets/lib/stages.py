"""Stages of the recipe as Dagster assets: groups, versions and what their pages say."""

import re
from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.lib.descriptions import describe, facts
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import InvalidProject, MissingWeights
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

GROUPS = {"slide": "slides", "tissue_mask": "tissue"}
"""Groups of the assets that all geometries share; the others stand in the group of their geometry."""

KINDS = {
    "slide": {"openslide"},
    "tissue_mask": {"geojson"},
    "patch_coords": {"hdf5"},
    "patch_features": {"hdf5", "pytorch"},
    "slide_embedding": {"hdf5"},
}

NO_WEIGHTS = "weights missing"
"""Code version of an encoder whose weights are not there: what is not there has no identity."""


def code_version(stage: OutputSpec) -> str:
    """Return 16 hex digits that change with whatever decides the stage's numbers on every slide."""
    try:
        return stage.code_version
    except MissingWeights:
        return NO_WEIGHTS


def asset_specs(recipe: Recipe) -> list[dg.AssetSpec]:
    """Return one asset per stage, upstream first. Raises InvalidProject when Dagster cannot tell two names apart."""
    _check_names(ProjectNames.of(recipe.project).asset_keys(stage.step for stage in recipe.stages))
    return [asset_spec(stage, recipe.project) for stage in recipe.stages]


def asset_spec(stage: OutputSpec, project: Project) -> dg.AssetSpec:
    """Return the asset of a stage; skippable, because a slide that fails has no output."""
    names = ProjectNames.of(project)
    return dg.AssetSpec(
        names.asset_key(stage.step),
        deps=names.asset_keys(stage.upstream),
        description=describe(stage, project),
        metadata=facts(stage, project),
        skippable=True,
        group_name=group_name(stage),
        code_version=code_version(stage),
        kinds=KINDS[stage.step.kind],
        owners=list(project.owners),
    )


def group_name(stage: OutputSpec) -> str:
    """Return the group of a stage, such as ``patches_256px_20x``."""
    return GROUPS[stage.step.kind] if stage.geometry is None else _geometry_group(stage.geometry)


def _geometry_group(geometry: Geometry) -> str:
    words = geometry.name or f"patches_{geometry.patch_size}px_{geometry.magnification:.4g}x"
    return re.sub(r"[^A-Za-z0-9_]", "_", words)


def _check_names(keys: Sequence[dg.AssetKey]) -> None:
    key_of_name: dict[str, str] = {}
    for key in keys:
        name = key.to_python_identifier()
        if name in key_of_name:
            raise InvalidProject(
                f"{key_of_name[name]} and {key.to_user_string()} differ in signs that Dagster cannot tell apart; "
                "rename a geometry or an encoder"
            )
        key_of_name[name] = key.to_user_string()
