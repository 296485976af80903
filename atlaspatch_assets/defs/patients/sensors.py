"""The sensor of cases: new ones in the table, and known ones whose slides or rows changed."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import dagster as dg

from atlaspatch_assets.defs.patients.requests import case_batches
from atlaspatch_assets.defs.patients.states import case_states, feature_steps
from atlaspatch_assets.defs.slides.sensors import MOST_RUNS_PER_TICK, is_stable
from atlaspatch_assets.lib import vain_runs
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.events import last_materialization_id
from atlaspatch_assets.lib.names import MOST_KEYS_PER_CALL, PartitionKind, ProjectNames
from atlaspatch_assets.lib.pools import limit_pool, pool_of
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.stages import code_version
from atlaspatch_assets.lib.stopped_runs import again_requests, output_fault
from atlaspatch_assets.lib.vain_runs import Attempt, keys_of_failed_runs, next_attempt
from atlaspatch_core.discovery.find import find_slides_if_any
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.errors import AtlasPatchError, InvalidManifest, InvalidProject
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.pipeline.patients.manifest import Case, Manifest, manifest_of
from atlaspatch_core.pipeline.patients.validity import CaseState, changed_itself
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State

REASON = {"atlaspatch/reason": "slides changed"}

DESCRIPTION = """\
Finds cases in the project's table that have no partition yet, and encodes them in batches as soon as their slides are
done. A known case follows its slides: when its rows changed, or its slides have other features and all of them are
fresh, it is asked for again. One whose run ended before it saw to it is asked for again after 5, 10, 20 ... minutes, at
most 8 times. A case whose patient encoder changed waits for `materialize_stale`.
"""


@dataclass(frozen=True, slots=True)
class DueCases:
    """Embeddings of known cases that are to be made."""

    states: Sequence[CaseState] = ()
    waits: bool = False
    """Whether others are to be made later: a run has them, or had them a moment ago."""


def build_case_sensor(recipe: Recipe) -> dg.SensorDefinition:
    """Return the sensor of a project with cases."""
    names = ProjectNames.of(recipe.project)

    @running_sensor(names, "new_cases", names.cases.job_name, DESCRIPTION)
    def new_cases(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        limit_pool(context.instance, pool_of(recipe.project.runtime))
        if fault := output_fault(recipe.project, context.instance):
            return dg.SkipReason(fault)
        try:
            return _evaluate(recipe, context.instance, manifest_of(recipe.project), context.cursor)
        except (InvalidManifest, InvalidProject) as error:
            return dg.SkipReason(str(error))

    return new_cases


def _evaluate(recipe: Recipe, instance: dg.DagsterInstance, manifest: Manifest, cursor: str | None) -> dg.SensorResult:
    """Return the runs to ask for; nothing is compared while nothing happened that may make a known case due."""
    names, size = ProjectNames.of(recipe.project), recipe.project.runtime.slides_per_run
    case_ids, failed = names.cases.keys(instance), keys_of_failed_runs(names.cases, instance)
    new = [case for case in manifest.cases if case.case_id not in case_ids]
    most = min(size * MOST_RUNS_PER_TICK, MOST_KEYS_PER_CALL)
    stable = [case for case in new if _is_stable(manifest, case)][:most]
    new_cursor = _build_cursor(recipe, instance, manifest, failed)
    due = DueCases() if new_cursor == cursor else due_known_cases(recipe, instance, manifest, case_ids, failed)
    attempts = [
        *_attempts(recipe, instance, manifest, _first_states(recipe, instance, stable), {}),
        *_attempts(recipe, instance, manifest, due.states, REASON),
    ]
    of_stopped = again_requests(names.cases, instance)
    requests = [*of_stopped, *(each.request for each in attempts if each.request)][:MOST_RUNS_PER_TICK]
    waiting = f"{len(new)} cases are new and wait for their slides"
    left_out = "".join(f"; left out: {case.why}" for case in manifest.left_out)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else waiting if new else f"all {len(case_ids)} cases are known{left_out}",
        dynamic_partitions_requests=_partition_requests(names.cases, stable),
        cursor=cursor if due.waits or any(each.waits for each in attempts) else new_cursor,
    )


def _partition_requests(kind: PartitionKind, cases: Sequence[Case]) -> list[dg.AddDynamicPartitionsRequest]:
    return [kind.definition.build_add_request([case.case_id for case in cases])] if cases else []


def _attempts(
    recipe: Recipe, instance: dg.DagsterInstance, manifest: Manifest, due: Sequence[CaseState], tags: Mapping[str, str]
) -> Iterator[Attempt]:
    """Yield what is to be asked for; again where a run ended in vain, and once where a case failed in it."""
    names = ProjectNames.of(recipe.project)

    def previous(state: CaseState) -> str:
        return last_materialization_id(names.asset_key(state.validity.step), state.validity.stem, instance)

    for batch in case_batches(due, manifest, recipe.project.runtime.slides_per_run, previous=previous):
        if batch.failed:
            yield Attempt(batch.request(names, tags))
        else:
            yield next_attempt(instance, partial(batch.request, names, tags), time.time())


def due_known_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    manifest: Manifest,
    case_ids: Collection[str],
    failed_at: Mapping[str, float],
) -> DueCases:
    """Return the known cases that are to follow their slides, or that a run left: ``failed_at`` is when it failed.

    One that a run has is left to it, and for a pause one that a run had: Dagster may start that again.
    """
    states = case_states(recipe, instance, recorded_validities(recipe, instance, feature_steps(recipe)))
    listed = {case.case_id for case in manifest.cases} & set(case_ids)
    due = [state for state in states if state.validity.stem in listed and _is_due(recipe, state, failed_at)]
    busy = busy_keys(ProjectNames.of(recipe.project).cases, instance) if due else set()
    idle = [state for state in due if state.validity.stem not in busy and not _is_pausing(state, failed_at)]
    return DueCases(idle, len(idle) < len(due))


def _is_due(recipe: Recipe, state: CaseState, failed_at: Collection[str]) -> bool:
    """Tell whether a case is to be made because of its slides, all of which are as they are to be, or was left."""
    validity = state.validity
    if state.waits or validity.state is State.FRESH:
        return False
    if validity.state is not State.STALE:
        return state.fingerprint is not None or (validity.state is State.MISSING and validity.stem in failed_at)
    stage = next(stage for stage in recipe.cases if stage.step == validity.step)
    return not changed_itself(recipe, stage, validity.stem)


def _is_pausing(state: CaseState, failed_at: Mapping[str, float]) -> bool:
    was_left = state.validity.state is not State.FAILED
    return was_left and time.time() < failed_at.get(state.validity.stem, 0.0) + vain_runs.FIRST_PAUSE


def _build_cursor(
    recipe: Recipe, instance: dg.DagsterInstance, manifest: Manifest, failed_at: Mapping[str, float]
) -> str:
    """Return a text that changes with whatever may make a case due."""
    steps = [*feature_steps(recipe), *(stage.step for stage in recipe.cases)]
    records = instance.get_asset_records(ProjectNames.of(recipe.project).asset_keys(steps))
    materializations = sorted(
        (str(record.asset_entry.asset_key), record.asset_entry.last_materialization_storage_id) for record in records
    )
    versions = [code_version(stage) for stage in (*recipe.stages, *recipe.cases)]
    changed_at = manifest.path.stat().st_mtime_ns
    return short_hash(repr((materializations, versions, changed_at, sorted(failed_at.items()))))


def _first_states(recipe: Recipe, instance: dg.DagsterInstance, cases: Sequence[Case]) -> list[CaseState]:
    """Return the embeddings of new cases; one whose slides are the project's own is left until these are done."""
    if not cases:
        return []
    steps, slides = feature_steps(recipe), recorded_validities(recipe, instance, feature_steps(recipe))
    own = find_slides_if_any(recipe.project, unless=AtlasPatchError, seconds=SECONDS_A_LOOK).by_stem
    fresh = Counter(validity.stem for validity in slides if validity.state is State.FRESH)
    ready = {case.case_id for case in cases if all(stem not in own or fresh[stem] == len(steps) for stem in case.stems)}
    return [state for state in case_states(recipe, instance, slides) if state.validity.stem in ready]


def _is_stable(manifest: Manifest, case: Case) -> bool:
    return all(is_stable(manifest.slides[stem], time.time()) for stem in case.stems)
