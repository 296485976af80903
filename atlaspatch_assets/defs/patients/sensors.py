"""The sensor of cases: new ones in the table, and known ones whose slides or rows changed."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import dagster as dg

from atlaspatch_assets.defs.patients.requests import case_requests, run_key
from atlaspatch_assets.defs.patients.states import case_states, feature_steps
from atlaspatch_assets.defs.slides.sensors import MOST_RUNS_PER_TICK, is_stable
from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.events import last_materialization_id
from atlaspatch_assets.lib.names import MOST_KEYS_PER_CALL, PartitionKind, ProjectNames
from atlaspatch_assets.lib.pools import limit_pool, pool_of
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.stages import code_version
from atlaspatch_assets.lib.stopped_runs import again_requests, output_fault
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
fresh, it is asked for again. A case whose patient encoder changed waits for `materialize_stale`.
"""


def build_case_sensor(recipe: Recipe) -> dg.SensorDefinition:
    """Return the sensor of a project with cases."""
    size, names = recipe.project.runtime.slides_per_run, ProjectNames.of(recipe.project)

    @running_sensor(names, "new_cases", names.cases.job_name, DESCRIPTION)
    def new_cases(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        limit_pool(context.instance, pool_of(recipe.project.runtime))
        if fault := output_fault(recipe.project, context.instance):
            return dg.SkipReason(fault)
        try:
            manifest = manifest_of(recipe.project)
        except (InvalidManifest, InvalidProject) as error:
            return dg.SkipReason(str(error))
        case_ids = names.cases.keys(context.instance)
        new = [case for case in manifest.cases if case.case_id not in case_ids]
        most = min(size * MOST_RUNS_PER_TICK, MOST_KEYS_PER_CALL)
        ready = [case for case in new if _is_stable(manifest, case)][:most]
        due, cursor = cases_to_follow(recipe, context.instance, manifest, case_ids, context.cursor)

        def previous(state: CaseState) -> str:
            return last_materialization_id(names.asset_key(state.validity.step), state.validity.stem, context.instance)

        requests = [
            *again_requests(names.cases, context.instance),
            *_first_requests(recipe, context.instance, ready),
            *case_requests(names, due, manifest, size, REASON, previous=previous),
        ][:MOST_RUNS_PER_TICK]
        waiting = f"{len(new)} cases are new and wait for their slides"
        left_out = "".join(f"; left out: {case.why}" for case in manifest.left_out)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else waiting if new else f"all {len(case_ids)} cases are known{left_out}",
            dynamic_partitions_requests=_partition_requests(names.cases, ready),
            cursor=cursor,
        )

    return new_cases


def _partition_requests(kind: PartitionKind, cases: Sequence[Case]) -> list[dg.AddDynamicPartitionsRequest]:
    return [kind.definition.build_add_request([case.case_id for case in cases])] if cases else []


def cases_to_follow(
    recipe: Recipe, instance: dg.DagsterInstance, manifest: Manifest, case_ids: Collection[str], cursor: str | None
) -> tuple[list[CaseState], str | None]:
    """Return the known cases that are to follow their slides, and the next cursor.

    Nothing is compared while nothing was materialised, and neither table nor project changed.
    """
    new_cursor = _build_cursor(recipe, instance, manifest)
    if new_cursor == cursor:
        return [], cursor
    states = case_states(recipe, instance, recorded_validities(recipe, instance, feature_steps(recipe)))
    listed = {case.case_id for case in manifest.cases} & set(case_ids)
    due = [state for state in states if state.validity.stem in listed and _is_due(recipe, state)]
    running = busy_keys(ProjectNames.of(recipe.project).cases, instance) if due else set()
    idle = [state for state in due if state.validity.stem not in running]
    return idle, new_cursor if len(idle) == len(due) else cursor


def _is_due(recipe: Recipe, state: CaseState) -> bool:
    """Tell whether a case is to be made anew because of its slides, all of which are as they are to be."""
    validity = state.validity
    if state.waits or validity.state is State.FRESH:
        return False
    if validity.state is not State.STALE:
        return state.fingerprint is not None
    stage = next(stage for stage in recipe.cases if stage.step == validity.step)
    return not changed_itself(recipe, stage, validity.stem)


def _build_cursor(recipe: Recipe, instance: dg.DagsterInstance, manifest: Manifest) -> str:
    """Return a text that changes with whatever may make a case due."""
    steps = [*feature_steps(recipe), *(stage.step for stage in recipe.cases)]
    records = instance.get_asset_records(ProjectNames.of(recipe.project).asset_keys(steps))
    materializations = sorted(
        (str(record.asset_entry.asset_key), record.asset_entry.last_materialization_storage_id) for record in records
    )
    versions = [code_version(stage) for stage in (*recipe.stages, *recipe.cases)]
    return short_hash(repr((materializations, versions, manifest.path.stat().st_mtime_ns)))


def _first_requests(recipe: Recipe, instance: dg.DagsterInstance, cases: Sequence[Case]) -> Iterator[dg.RunRequest]:
    """Yield the requests for new cases; one whose slides are the project's own is left until these are done."""
    if not cases:
        return
    steps, own = (
        feature_steps(recipe),
        find_slides_if_any(recipe.project, unless=AtlasPatchError, seconds=SECONDS_A_LOOK).by_stem,
    )
    fresh = Counter(
        validity.stem for validity in recorded_validities(recipe, instance, steps) if validity.state is State.FRESH
    )
    ready = [case.case_id for case in cases if all(stem not in own or fresh[stem] == len(steps) for stem in case.stems)]
    for batch in in_batches(ready, recipe.project.runtime.slides_per_run):
        yield ProjectNames.of(recipe.project).cases.request(batch, run_key(batch))


def _is_stable(manifest: Manifest, case: Case) -> bool:
    return all(is_stable(manifest.slides[stem], time.time()) for stem in case.stems)
