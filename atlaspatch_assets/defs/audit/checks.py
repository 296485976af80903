"""The checks of the audit: whether what lies in the files is sound, and no slide is there under two names."""

from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.dagster_internals import data_versions
from atlaspatch_assets.lib.declaring import check_specs
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.operations.inspect import Inspected
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

SOUND = "sound"
"""Name of the check that the values of an output are what they should be."""
DISTINCT = "distinct"
"""Name of the check that no other slide has the same embedding."""
WARNINGS = ("patches", "norms")
"""Findings that are odd rather than wrong: a slide may have no tissue."""

OF_KIND = {
    "slide": "Whether the record is the version that Dagster knows, and the content of the file is that of the record.",
    "patch_coords": "Whether the file can be read and is the version that Dagster knows; whether there are patches, no "
    "more than places, each once and inside the slide, and whether what goes with them has as many rows.",
    "patch_features": "Whether the file can be read and is the version that Dagster knows; whether there is a row per "
    "patch, finite, not always the same, and none far longer than the others.",
    "slide_embedding": "Whether the file can be read and is the version that Dagster knows; whether the embedding is "
    "finite and more than one number.",
}
OF_EMBEDDINGS = "Whether no other slide of the project has the same embedding (cosine above 0.99999)."


def audit_specs(recipe: Recipe) -> list[dg.AssetCheckSpec]:
    """Return the checks that the audit makes of the assets of a project, one partition per slide."""
    names = ProjectNames.of(recipe.project)
    return [
        *(
            spec
            for stage in recipe.stages
            if stage.step.kind in OF_KIND
            for spec in check_specs(names.slides, SOUND, [names.asset_key(stage.step)], OF_KIND[stage.step.kind])
        ),
        *check_specs(
            names.slides, DISTINCT, names.asset_keys(stage.step for stage in compared_stages(recipe)), OF_EMBEDDINGS
        ),
    ]


def compared_stages(recipe: Recipe) -> list[OutputSpec]:
    """Return the stages whose outputs are compared between slides."""
    return [stage for stage in recipe.stages if stage.step.kind == "slide_embedding"]


def recorded_versions(recipe: Recipe, instance: dg.DagsterInstance) -> dict[str, dict[OutputKey, str]]:
    """Return slide to step to the version that Dagster knows; one query per asset."""
    names = ProjectNames.of(recipe.project)
    slides: dict[str, dict[OutputKey, str]] = {}
    for stage in recipe.stages:
        for stem, version in data_versions(instance, names.asset_key(stage.step)).items():
            slides.setdefault(stem, {})[stage.step] = version
    return slides


def soundness_verdict(names: ProjectNames, inspected: Inspected) -> dg.AssetCheckEvaluation:
    """Return the verdict on one output: one event for all findings, values as numbers."""
    wrong = [finding.name for finding in inspected.findings if not finding.passed]
    numbers = {finding.name: finding.value for finding in inspected.findings if finding.value < float("inf")}
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(inspected.step),
        check_name=SOUND,
        passed=inspected.sound,
        partition=inspected.stem,
        severity=dg.AssetCheckSeverity.WARN if set(wrong) <= set(WARNINGS) else dg.AssetCheckSeverity.ERROR,
        metadata=({"reason": inspected.why} if wrong else {})
        | {name: _number_metadata(value) for name, value in numbers.items()},
    )


def distinctness_verdict(
    names: ProjectNames, step: OutputKey, stem: str, duplicates: Sequence[str]
) -> dg.AssetCheckEvaluation:
    """Return the verdict on an embedding: it warns with the names of the slides that have the same one."""
    reason = f"{stem} has the embedding of {', '.join(duplicates)}: one slide under two names, or a copy"
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(step),
        check_name=DISTINCT,
        passed=not duplicates,
        partition=stem,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"reason": reason, "slides": dg.MetadataValue.json(list(duplicates))} if duplicates else {},
    )


def _number_metadata(value: float) -> dg.MetadataValue:
    return dg.MetadataValue.int(int(value)) if value == int(value) else dg.MetadataValue.float(float(f"{value:.6g}"))
