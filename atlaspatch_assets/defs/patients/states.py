"""The states of the embeddings of cases: what Dagster recorded, held against the table, the slides and the project."""

from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import stored_in_dagster
from atlaspatch_core.errors import InvalidManifest, InvalidProject
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.pipeline.patients.validity import CaseStalenessChecker, CaseState
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity


def case_states(recipe: Recipe, instance: dg.DagsterInstance, slides: Sequence[Validity]) -> list[CaseState]:
    """Return the state of the embeddings of all cases of the table, and of those that left it while they were known.

    ``slides`` are the states of the outputs of slides. A table that cannot be read is why all known cases failed.
    """
    if not recipe.cases or recipe.project.patients.manifest is None:
        return []
    names = ProjectNames.of(recipe.project)
    case_ids = sorted(names.cases.keys(instance))
    try:
        manifest = manifest_of(recipe.project)
    except (InvalidManifest, InvalidProject) as error:
        return list(_failed_states(recipe, case_ids, str(error)))
    of_slides = {(validity.stem, validity.step): validity for validity in slides}
    stored = stored_in_dagster(names, instance, [stage.step for stage in recipe.cases])
    listed = {case.case_id for case in manifest.cases}
    states = list(CaseStalenessChecker(recipe, manifest, stored, of_slides).states())
    for case_id in case_ids:
        if case_id not in listed:
            states += _failed_states(recipe, [case_id], unlisted_reason(case_id, manifest.path))
    return states


def case_validities(recipe: Recipe, instance: dg.DagsterInstance, slides: Sequence[Validity]) -> list[Validity]:
    """Return the same without what a case waits for."""
    return [state.validity for state in case_states(recipe, instance, slides)]


def unlisted_reason(case_id: str, table: object) -> str:
    """Return what to say of a case that is not in the table any more."""
    return f"{case_id}: {table} names no such case; put it back, or delete its partition"


def feature_steps(recipe: Recipe) -> set[OutputKey]:
    """Return the features that embeddings of cases are computed from."""
    return {step for stage in recipe.cases for step in stage.upstream}


def _failed_states(recipe: Recipe, case_ids: Collection[str], why: str) -> Iterator[CaseState]:
    for case_id in case_ids:
        yield from (CaseState(Validity(case_id, stage.step, State.FAILED, why)) for stage in recipe.cases)
