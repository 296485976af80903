"""What Dagster knows of the embeddings of cases, held against the table, the slides and the project."""

import warnings
from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from atlaspatch_assets.defs.patients.partitions import CASES
from atlaspatch_assets.lib.recorded import VALID, failures, fingerprints, recorded_validities, validity_verdicts
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED
from atlaspatch_core.errors import InvalidManifest
from atlaspatch_core.pipeline.patients.manifest import read_manifest
from atlaspatch_core.pipeline.patients.validity import CaseStalenessChecker, CaseState
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Stored, Validity


def judge_cases(recipe: Recipe, instance: dg.DagsterInstance, slides: Sequence[Validity]) -> list[CaseState]:
    """Return the state of the embeddings of all cases of the table, and of those that left it while they were known.

    ``slides`` are the states of the outputs of slides. A table that cannot be read is why all known cases failed.
    """
    if not recipe.cases or recipe.project.patients.manifest is None:
        return []
    known = sorted(instance.get_dynamic_partitions(str(CASES.name)))
    try:
        manifest = read_manifest(recipe.project.patients.manifest)
    except InvalidManifest as error:
        return list(_failed(recipe, known, str(error)))
    states = {(it.stem, it.step): it for it in slides}
    found = list(CaseStalenessChecker(recipe, manifest, stored_cases(recipe, instance), states).states())
    listed = {case.case_id for case in manifest.cases}
    gone = [case_id for case_id in known if case_id not in listed]
    return [*found, *(it for case_id in gone for it in _failed(recipe, [case_id], left(case_id, manifest.path)))]


def left(case_id: str, table: object) -> str:
    """Return what to say of a case that is not in the table any more."""
    return f"{case_id}: {table} names no such case; put it back, or delete its partition"


def stored_cases(recipe: Recipe, instance: dg.DagsterInstance) -> Stored:
    """Return the fingerprints of the latest materialisations of cases, and why cases failed."""
    steps = [stage.step for stage in recipe.cases]
    return Stored(
        {step: fingerprints(instance, asset_key(step)) for step in steps},
        {step: failures(instance, dg.AssetCheckKey(asset_key(step), PROCESSED)) for step in steps},
    )


def feature_steps(recipe: Recipe) -> set[OutputKey]:
    """Return the features that embeddings of cases are computed from."""
    return {step for stage in recipe.cases for step in stage.upstream}


def _failed(recipe: Recipe, case_ids: Collection[str], why: str) -> Iterator[CaseState]:
    for case_id in case_ids:
        yield from (CaseState(Validity(case_id, stage.step, State.FAILED, why)) for stage in recipe.cases)


def build_case_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """Return the check ``valid`` of the assets of cases; nothing where a project has none."""
    if not recipe.cases or recipe.project.patients.manifest is None:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        specs = [_spec(stage.step) for stage in recipe.cases]

        @dg.multi_asset_check(name="case_validity", specs=specs, can_subset=True)
        def case_validity(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckEvaluation | dg.Output]:
            keys = context.op_execution_context.selected_asset_check_keys
            found = judge_cases(recipe, context.instance, recorded_validities(recipe, context.instance))
            asked = [it.validity for it in found if dg.AssetCheckKey(asset_key(it.validity.step), VALID) in keys]
            yield from validity_verdicts(asked, context.instance)
            for spec in specs:
                if spec.key in keys:
                    yield dg.Output(None, output_name=spec.get_python_identifier())

    return [case_validity]


def _spec(step: OutputKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        VALID,
        asset=asset_key(step),
        partitions_def=CASES,
        description="Whether the embedding of the case is what the project file, the table of cases and its slides ask "
        "for; if it is stale, what changed. The job `check_validity` tells it for all cases.",
    )
