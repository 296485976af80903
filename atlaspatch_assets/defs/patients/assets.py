"""Patients: one asset per patient encoder, one partition per case of the project's table."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.defs.patients.states import unlisted_reason
from atlaspatch_assets.lib.announced import LaterCheck
from atlaspatch_assets.lib.batch_ops import batch_asset, batch_events, batch_keys, without_preview_warnings
from atlaspatch_assets.lib.config import JobConfig
from atlaspatch_assets.lib.declaring import check_specs
from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_assets.lib.options import FORCE
from atlaspatch_assets.lib.reporting import report_outcomes
from atlaspatch_assets.lib.stages import code_version
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidManifest, InvalidProject
from atlaspatch_core.pipeline.patients.manifest import Manifest, manifest_of
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

OF_EMBEDDING = "Whether the embedding of the case could be made; if not, the reason."


class CasesConfig(JobConfig):
    """Which cases a run takes, and whether it trusts what is there."""

    cases: list[str] = Field(default=[], description="Cases by case_id; empty: the partitions of the run.")
    force: Annotated[bool, FORCE] = False


def build_case_assets(recipe: Recipe, later: Sequence[LaterCheck] = ()) -> dg.AssetsDefinition:
    """Return the embeddings of cases, one partition per case, made by one op."""
    with without_preview_warnings():
        specs = [_build_spec(stage, recipe.project) for stage in recipe.cases]
        names = ProjectNames.of(recipe.project)
        checks = check_specs(names.cases, PROCESSED, [spec.key for spec in specs], OF_EMBEDDING)
        return _build_assets(recipe, specs, checks, later)


def _build_assets(
    recipe: Recipe, specs: list[dg.AssetSpec], checks: list[dg.AssetCheckSpec], later: Sequence[LaterCheck]
) -> dg.AssetsDefinition:
    description = "Takes the slides of cases through the pipeline once, and then every case to its embeddings."
    names = ProjectNames.of(recipe.project)

    @batch_asset(names.cases, recipe.project, specs, checks, description)
    def cases_to_embeddings(context: dg.AssetExecutionContext, config: CasesConfig) -> Iterator[Any]:
        case_ids = batch_keys(names.cases, context, config.cases, lambda: _listed_cases(recipe.project))
        open_failures = OpenFailures(names, context.instance, run_id=context.run.run_id)  # of cases and of their slides
        outcomes = _encode_batch(context, recipe, case_ids, open_failures, force=config.force)
        yield from batch_events(names.cases, recipe.project, context, outcomes, open_failures, checks, case_ids, later)

    return cases_to_embeddings


def _build_spec(stage: OutputSpec, project: Project) -> dg.AssetSpec:
    encoder = stage.encoder
    assert encoder is not None
    names, from_all = ProjectNames.of(project), dg.AllPartitionMapping()
    return dg.AssetSpec(
        names.asset_key(stage.step),
        deps=[dg.AssetDep(key, partition_mapping=from_all) for key in names.asset_keys(stage.upstream)],
        description=(
            f"One vector for all slides of a case by {encoder.name}. {encoder.note}\n\n"
            f"`patient_features/{encoder.name}/<case_id>.h5`, dataset `features`: float32, shape "
            f"({encoder.dim or 'dim'},). Which slides belong to a case is said in the project's table of cases; a case "
            f"with a slide that fails has none. Licence of the weights: {encoder.license}."
        ),
        skippable=True,
        group_name="patients",
        code_version=code_version(stage),
        kinds={"hdf5"},
        owners=list(project.owners),
    )


def _encode_batch(
    context: dg.AssetExecutionContext,
    recipe: Recipe,
    case_ids: Sequence[str],
    open_failures: OpenFailures,
    *,
    force: bool,
) -> Iterator[Outcome]:
    """Yield what becomes of the cases; what becomes of their slides is reported to the slides' own assets."""
    from atlaspatch_core.pipeline.patients.encoding import encode_cases

    names = open_failures.names
    stages = [stage for stage in recipe.cases if names.asset_key(stage.step) in context.selected_asset_keys]
    manifest = _read_manifest(recipe.project)
    cases = [case for case in map(manifest.case, case_ids) if case is not None]
    for case_id in sorted(set(case_ids) - {case.case_id for case in cases}):
        why = unlisted_reason(case_id, manifest.path)
        yield from (Outcome(case_id, stage.step, Status.FAILED, why=why) for stage in stages)
    slides = names.slides.keys(context.instance)
    for outcome in encode_cases(manifest, recipe, cases=cases, stages=stages, force=force):
        if outcome.step.kind == "patient_embedding":
            context.log.info("%s: %s %s %s", outcome.stem, outcome.step, outcome.status, outcome.why)
            yield outcome
        elif outcome.stem in slides and outcome.status in (Status.COMPUTED, Status.FAILED):
            report_outcomes([outcome], open_failures)


def _listed_cases(project: Project) -> list[str]:
    return [case.case_id for case in _read_manifest(project).cases]


def _read_manifest(project: Project) -> Manifest:
    try:
        return manifest_of(project)
    except (InvalidManifest, InvalidProject) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
