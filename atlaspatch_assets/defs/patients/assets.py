"""Patients: one asset per patient encoder, one partition per case of the project's table."""

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.defs.patients.checks import left
from atlaspatch_assets.defs.patients.partitions import CASES, JOB_NAME, OP_NAME
from atlaspatch_assets.defs.patients.sensors import build_case_sensor
from atlaspatch_assets.lib.events import events
from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.pools import pool_of
from atlaspatch_assets.lib.reporting import report
from atlaspatch_assets.lib.stages import asset_key, code_version
from atlaspatch_assets.lib.verdicts import PROCESSED, OpenFailures
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidManifest
from atlaspatch_core.pipeline.patients.manifest import Manifest, read_manifest
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


class CasesConfig(dg.Config):
    """Which cases a run takes, and whether it trusts what is there."""

    cases: list[str] = Field(default=[], description="Cases by case_id; empty: the partitions of the run.")
    force: bool = Field(default=False, description="Compute slides and cases anew, though what is stored is valid.")


def build_patient_definitions(recipe: Recipe) -> dg.Definitions:
    """Return assets, job and sensor of a project's cases; nothing where it has no table or no patient encoder."""
    if not recipe.cases or recipe.project.patients.manifest is None:
        return dg.Definitions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        assets = _multi_asset(recipe)
    job = dg.define_asset_job(
        JOB_NAME,
        selection=dg.AssetSelection.assets(assets).without_checks() | dg.AssetSelection.checks(*assets.check_keys),
        description="Takes the slides of cases to their features, and each case to its embeddings.",
    )
    return dg.Definitions(assets=[assets], jobs=[job], sensors=[build_case_sensor(recipe)])


def process_cases(definitions: dg.Definitions) -> "list[UnresolvedAssetJobDefinition]":
    """Return the job of the cases among these definitions; none where a project has no cases."""
    return [job for job in definitions.jobs or () if job.name == JOB_NAME]  # type: ignore[misc]


def _multi_asset(recipe: Recipe) -> dg.AssetsDefinition:
    checks = [_check(stage) for stage in recipe.cases]

    @dg.multi_asset(
        name=OP_NAME,
        description="Takes the slides of cases through the pipeline once, and then every case to its embeddings.",
        specs=[_spec(stage, recipe.project) for stage in recipe.cases],
        check_specs=checks,
        can_subset=True,
        partitions_def=CASES,
        backfill_policy=dg.BackfillPolicy.multi_run(recipe.project.runtime.slides_per_run),
        pool=pool_of(recipe.project.runtime),
    )
    def cases_to_embeddings(context: dg.AssetExecutionContext, config: CasesConfig) -> Iterator[Any]:
        if config.cases:
            context.instance.add_dynamic_partitions(str(CASES.name), config.cases)
        case_ids = list(dict.fromkeys(config.cases or context.partition_keys))
        failed: dict[str, str] = {}
        standing = OpenFailures(context.instance)  # of cases and of their slides
        for outcome in _outcomes(context, recipe, case_ids, standing, force=config.force):
            yield from events(outcome, standing)
            if outcome.status is Status.FAILED:
                failed[outcome.stem] = outcome.why
        for check in checks:
            if check.key in context.selected_asset_check_keys:
                yield dg.Output(None, output_name=check.get_python_identifier())
        if failed:
            raise _failure(failed, len(case_ids))

    return cases_to_embeddings


def _spec(stage: OutputSpec, project: Project) -> dg.AssetSpec:
    encoder = stage.encoder
    assert encoder is not None
    from_all = dg.AllPartitionMapping()
    return dg.AssetSpec(
        asset_key(stage.step),
        deps=[dg.AssetDep(asset_key(step), partition_mapping=from_all) for step in stage.upstream],
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


def _check(stage: OutputSpec) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        PROCESSED,
        asset=asset_key(stage.step),
        partitions_def=CASES,
        description="Whether the embedding of the case could be made; if not, the reason.",
    )


def _outcomes(
    context: dg.AssetExecutionContext, recipe: Recipe, case_ids: Sequence[str], standing: OpenFailures, *, force: bool
) -> Iterator[Outcome]:
    """Yield what becomes of the cases; slides that were worked on are told to their own assets."""
    from atlaspatch_core.pipeline.patients.encoding import encode_cases

    stages = [stage for stage in recipe.cases if asset_key(stage.step) in context.selected_asset_keys]
    manifest = _manifest(recipe.project)
    known = [case for case in map(manifest.case, case_ids) if case is not None]
    gone = set(case_ids) - {case.case_id for case in known}
    for case_id in sorted(gone):
        why = left(case_id, manifest.path)
        yield from (Outcome(case_id, stage.step, Status.FAILED, why=why) for stage in stages)
    slides = set(context.instance.get_dynamic_partitions(str(SLIDES.name)))
    for outcome in encode_cases(manifest, recipe, cases=known, stages=stages, force=force):
        if outcome.step.kind == "patient_embedding":
            context.log.info("%s: %s %s %s", outcome.stem, outcome.step, outcome.status, outcome.why)
            yield outcome
        elif outcome.stem in slides and outcome.status in (Status.COMPUTED, Status.FAILED):
            report([outcome], context.instance, standing)


def _manifest(project: Project) -> Manifest:
    assert project.patients.manifest is not None
    try:
        return read_manifest(project.patients.manifest)
    except InvalidManifest as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _failure(failed: dict[str, str], total: int) -> dg.Failure:
    return dg.Failure(
        f"{len(failed)} of {total} cases failed: {', '.join(failed)}",
        metadata={"failed_cases": dg.MetadataValue.json(failed)},
        allow_retries=False,
    )
