"""Embeddings of cases that lie in the output folder and Dagster does not know, and cases that could not be made."""

from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.lib.landed import RecordedCounts, unknown_failures
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.reporting import report_outcomes
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.pipeline.patients.encoding import encode_cases
from atlaspatch_core.pipeline.patients.manifest import Manifest, manifest_of
from atlaspatch_core.pipeline.patients.validity import case_states_in_files
from atlaspatch_core.validity.outcome import OF_CASES, Outcome, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity


def record_cases(recipe: Recipe, outputs: Sequence[Validity], instance: dg.DagsterInstance) -> RecordedCounts:
    """Tell an instance of the cases of the project's table as they lie in the folder, once; nothing is computed.

    ``outputs`` are the states of the outputs of slides there, of which the instance was told: a case of a slide that
    failed has failed. Cases that the instance does not know become partitions. Raises InvalidManifest or
    InvalidProject for a table that cannot be used.
    """
    if not recipe.cases or recipe.project.patients.manifest is None:
        return RecordedCounts(0, 0)
    manifest = manifest_of(recipe.project)
    cases = [state.validity for state in case_states_in_files(recipe, manifest, outputs)]
    failed = unknown_failures(recipe, cases, instance)
    landed = _unknown_results(recipe, cases, instance)
    open_failures = OpenFailures(ProjectNames.of(recipe.project), instance)
    report_outcomes(_failure_outcomes(failed), open_failures)
    report_outcomes(_result_outcomes(recipe, manifest, landed), open_failures)
    return RecordedCounts(len(landed), len(failed), cases=len({case.stem for case in (*landed, *failed)}))


def _unknown_results(recipe: Recipe, cases: Sequence[Validity], instance: dg.DagsterInstance) -> list[Validity]:
    recorded = case_validities(recipe, instance, recorded_validities(recipe, instance))
    equal = {(case.stem, case.step) for case in recorded if case.state is State.FRESH}
    return [case for case in cases if case.state is State.FRESH and (case.stem, case.step) not in equal]


def _failure_outcomes(failed: Sequence[Validity]) -> Iterator[Outcome]:
    for case in failed:
        yield Outcome(case.stem, case.step, Status.FAILED, why=case.why)


def _result_outcomes(recipe: Recipe, manifest: Manifest, landed: Collection[Validity]) -> Iterator[Outcome]:
    """Yield the outcomes of embeddings that are fresh in the files, as a run that reuses them has them."""
    for stage in recipe.cases:
        case_ids = {case.stem for case in landed if case.step == stage.step}
        cases = [case for case in manifest.cases if case.case_id in case_ids]
        outcomes = encode_cases(manifest, recipe, cases=cases, stages=[stage]) if cases else ()
        yield from (outcome for outcome in outcomes if outcome.step.kind == OF_CASES)
