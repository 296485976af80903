"""The sensors that look at a changed project, and that ask for the runs which its repair needs."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob, VerdictRecorder
from atlaspatch_assets.defs.patients.requests import cases_to_make
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.backfill import build_requests, choose_steps, select_validities
from atlaspatch_assets.defs.validity.job_config import MATERIALIZE_NEW, MATERIALIZE_STALE, STATES, read_config
from atlaspatch_assets.defs.validity.new_outputs import depends_on_stale, new_outputs, replacement_lines
from atlaspatch_assets.defs.validity.repair import plan_repair
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities, validity_verdicts
from atlaspatch_assets.lib.stages import code_version
from atlaspatch_assets.lib.stopped_runs import LATELY, STOPPED_BY, output_fault
from atlaspatch_assets.lib.without_patches import retold_embeddings
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.operations.former_results import find_former_results
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity

PUT_OFF, ASKED_AGAIN = "launch", "no longer"
"""What the tag of runs is by which others are to be asked for, while results cannot be written, and afterwards."""
MOST_RUNS_ASKED = 500
"""Runs asked for at once; the rest is asked for by launching the job again."""
Told = dg.AssetObservation | dg.AssetMaterialization
MOST_FRESH_AGAIN = 50
"""Outputs of an asset that are told to be fresh again at once; `check_validity` tells of the others."""
PROPOSES = (
    "When an encoder, the segmenter or a geometry changed, launches materialize_stale: the canary is sent, and what "
    "differs is computed where [upgrades] automatic is true, or else proposed. What a changed project asks for anew, "
    "as of an encoder that took the place of another, it proposes or computes in the same way, by materialize_new."
)


def build_proposals(recipe: Recipe, jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    """Return the sensor that looks once at every change of the project, and asks for nothing twice.

    ``jobs`` are those that it launches.
    """
    names = ProjectNames.of(recipe.project)

    @running_sensor(names, "propose_upgrade", None, PROPOSES, jobs=jobs)
    def propose_upgrade(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if fault := output_fault(recipe.project, context.instance):
            return dg.SkipReason(fault)
        stages = (*recipe.stages, *recipe.cases)
        automatic = recipe.project.upgrades.automatic
        versions = _hash_lines([f"automatic {automatic}", *(f"{stage.step} {code_version(stage)}" for stage in stages)])
        if context.cursor == versions:
            return dg.SkipReason("the project asks for what it asked for before")
        of_slides = recorded_validities(recipe, context.instance)
        outputs = [*of_slides, *case_validities(recipe, context.instance, of_slides)]
        stale = select_validities(outputs, [State.STALE], {stage.step for stage in stages})
        missing = new_outputs(names, context.instance, of_slides)
        for line in replacement_lines(recipe, context.instance, missing):
            context.log.info(line)
        requests: list[dg.RunRequest] = []
        observed: list[Told] = [*retold_embeddings(recipe, context.instance, of_slides, MOST_FRESH_AGAIN)]
        if stale:
            requests.append(_request(names, MATERIALIZE_STALE, versions, stale, compute=automatic))
        else:
            observed += _record_fresh(names, context.instance, outputs)
        if missing:
            held = depends_on_stale(recipe, missing, of_slides) or find_former_results(recipe)
            compute = automatic and not held
            requests.append(_request(names, MATERIALIZE_NEW, versions, missing, compute=compute))
        skip_reason = None if requests else "nothing is stale, and nothing is missing"
        return dg.SensorResult(run_requests=requests, skip_reason=skip_reason, cursor=versions, asset_events=observed)

    return propose_upgrade


def _record_fresh(
    names: ProjectNames, instance: dg.DagsterInstance, outputs: Sequence[Validity]
) -> list[dg.AssetObservation]:
    """Record the verdicts on outputs that are fresh again, and return the observations that say so."""
    events = list(validity_verdicts(names, outputs, instance, MOST_FRESH_AGAIN))
    recorder = VerdictRecorder(instance, names.tags)
    recorder.record(event for event in events if isinstance(event, dg.AssetCheckEvaluation))
    return [event for event in events if isinstance(event, dg.AssetObservation)]


def _request(
    names: ProjectNames, name: str, versions: str, outputs: Sequence[Validity], *, compute: bool
) -> dg.RunRequest:
    """Return the request for a run of a job that finds these outputs, and computes them or proposes to."""
    key = _hash_lines([versions, *(f"{output.stem} {output.step}" for output in outputs)])
    config: dict[str, Any] = {"dry_run": False, "compute": compute}
    if name == MATERIALIZE_NEW:
        steps = dict.fromkeys(output.step for output in outputs)
        config["assets"] = [asset.to_user_string() for asset in names.asset_keys(steps)]
    op = names.label(f"find_{name.removeprefix('materialize_')}")
    run_config = {"ops": {op: {"config": config}}}
    return dg.RunRequest(names.run_key(key), run_config, job_name=names.label(name), tags=names.tags)


def build_launches(
    recipe: Recipe, jobs: Sequence[dg.JobDefinition], processes: Sequence[AssetJob]
) -> dg.SensorDefinition:
    """Return the sensor that asks for runs of ``processes`` after these jobs; of each of their runs once."""
    names = ProjectNames.of(recipe.project)

    @dg.run_status_sensor(
        name=names.label("launch_batches"),
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=list(jobs),
        request_jobs=list(processes),
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the runs that materialize_new, materialize_stale and materialize_failed found necessary.",
    )
    def launch_batches(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        run = context.dagster_run
        if not _is_to_compute(names, run):
            yield dg.SkipReason(f"{run.job_name} was to propose only")
        elif fault := output_fault(recipe.project, context.instance):
            context.instance.add_run_tags(run.run_id, {STOPPED_BY: PUT_OFF})
            yield dg.SkipReason(f"{fault}; then resume_stopped asks for the runs")
        else:
            try:
                yield from _requests_after(recipe, context.instance, run)
            except AtlasPatchError as error:  # of a cohort that went since
                yield dg.SkipReason(str(error))

    return launch_batches


def requests_put_off(recipe: Recipe, instance: dg.DagsterInstance) -> Iterator[dg.RunRequest]:
    """Yield the requests that ``launch_batches`` put off while results could not be written, each until it is granted.

    There must be no such fault now.
    """
    names = ProjectNames.of(recipe.project)
    filters = dg.RunsFilter(tags={STOPPED_BY: PUT_OFF}, updated_after=datetime.now(UTC) - LATELY)
    for run in instance.get_runs(filters=filters):
        if run.job_name not in map(names.label, STATES):
            continue
        try:
            requests = [each for each in _requests_after(recipe, instance, run) if not _is_granted(instance, each)]
        except AtlasPatchError:  # of a cohort that went since
            requests = []
        if not requests:
            instance.add_run_tags(run.run_id, {STOPPED_BY: ASKED_AGAIN})
        yield from requests


def _is_granted(instance: dg.DagsterInstance, request: dg.RunRequest) -> bool:
    return instance.get_runs_count(dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})) > 0


def _is_to_compute(names: ProjectNames, run: dg.DagsterRun) -> bool:
    config = read_config(_job_of(names, run), run)
    return config.compute and not config.dry_run


def _job_of(names: ProjectNames, run: dg.DagsterRun) -> str:
    return next(name for name in STATES if names.label(name) == run.job_name)


def _requests_after(recipe: Recipe, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.RunRequest]:
    """Return what a run of one of these jobs found necessary. Raises UnknownName for a cohort of no slide."""
    names = ProjectNames.of(recipe.project)
    name = _job_of(names, run)
    config = read_config(name, run)
    states, steps = STATES[name], choose_steps(recipe, config.assets)
    repair = plan_repair(recipe, instance, states, steps, config.cohorts)
    tags = {"atlaspatch/reason": run.job_name, "atlaspatch/asked_by": run.run_id}
    size = recipe.project.runtime.slides_per_run
    run_requests = list(build_requests(names, repair.slides.orders, size, run.run_id, tags, repair.cohorts))
    among = {validity.stem for validity in repair.cases} if config.cohorts else None
    run_requests += cases_to_make(recipe, instance, repair.validities, states, steps, tags, run.run_id, among=among)
    return run_requests[:MOST_RUNS_ASKED]


def _hash_lines(lines: Iterable[str]) -> str:
    return short_hash("\n".join(lines))
