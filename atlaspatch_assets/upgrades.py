"""Jobs that make new or stale outputs, and the sensors that propose and start them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.backfill import chosen_steps, orders, rates, requests, wanted
from atlaspatch_assets.events import Event, events
from atlaspatch_assets.pools import pool_of
from atlaspatch_assets.stages import code_version
from atlaspatch_assets.validity import judge
from atlaspatch_core.discovery import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.estimate import estimate
from atlaspatch_core.outcome import Outcome, Status
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.validity import State, Validity

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

MATERIALIZE_NEW = "materialize_new"
MATERIALIZE_STALE = "materialize_stale"
PRUNE = "prune_temporary_files"
STATES = {MATERIALIZE_NEW: (State.MISSING,), MATERIALIZE_STALE: (State.STALE,)}
SECONDS_BETWEEN_TICKS = 60
MOST_RUNS_ASKED = 500
"""Runs asked for at once; the rest is asked for by launching the job again."""

Tell = Callable[[str], object]


class NewConfig(dg.Config):
    """Which missing outputs are made."""

    assets: list[str] = Field(
        default=[], description="Assets by key, such as patch_features/uni_v1, or by its last part; empty: all."
    )
    dry_run: bool = Field(default=True, description="Only say what there is to do and what it takes.")
    compute: bool = Field(
        default=True, description="Ask for the runs, in batches of slides_per_run. false: propose them only."
    )


class StaleConfig(NewConfig):
    """Which stale outputs are made anew."""

    canary: bool = Field(
        default=True,
        description="First encode some stored patches by a changed patch encoder. Where the numbers are the same, the "
        "results keep their rows and get the new identity; only the others are computed.",
    )


class PruneConfig(dg.Config):
    """What is swept away."""

    dry_run: bool = Field(default=True, description="Only say which files would be removed.")


def build_upgrade_definitions(recipe: Recipe, process: "UnresolvedAssetJobDefinition") -> dg.Definitions:
    """Return the jobs that make new and stale outputs and sweep, and their sensors."""
    jobs = [_job(recipe, MATERIALIZE_NEW), _job(recipe, MATERIALIZE_STALE), _prune(recipe)]
    return dg.Definitions(jobs=jobs, sensors=[_proposals(recipe), _launches(recipe, jobs[:2], process)])


def settle(recipe: Recipe, stale: Sequence[Validity], tell: Tell) -> Iterator[Outcome]:
    """Try changed patch encoders on stored patches; yield the outcomes of results that got the new identity.

    A canary that cannot be sent is told and passed over: its slides will be computed.
    """
    from atlaspatch_core.upgrade import restamp, trials, try_out

    sources = {source.stem: source for source in find_slides(recipe.project).sources}
    for trial in trials(recipe, stale):
        tell(f"{trial.stage.step}: {len(trial.stems)} slides, {trial.why}")
        try:
            canary = try_out(recipe, trial, sources)
        except AtlasPatchError as error:
            tell(f"{trial.stage.step}: no canary could be sent: {error}")
            continue
        tell(f"{trial.stage.step}: {canary.text}")
        if canary.same:
            yield from restamp(recipe, trial, canary)


def _job(recipe: Recipe, name: str) -> dg.JobDefinition:
    if name == MATERIALIZE_NEW:

        @dg.op(name="find_new", description="Finds outputs that are missing, and says what they take.")
        def find(context: dg.OpExecutionContext, config: NewConfig) -> Iterator[Any]:
            yield from _find(context, recipe, name, config)
    else:

        @dg.op(
            name="find_stale",
            pool=pool_of(recipe.project.runtime),
            description="Finds outputs that are stale, sends a canary, and says what the rest takes.",
        )
        def find(context: dg.OpExecutionContext, config: StaleConfig) -> Iterator[Any]:
            yield from _find(context, recipe, name, config)

    what = "missing" if name == MATERIALIZE_NEW else "stale"

    @dg.job(
        name=name,
        executor_def=dg.in_process_executor,
        description=f"Makes outputs that are {what}: says how many slides, patches, hours and gigabytes, and with "
        "dry_run: false has the sensor `launch_batches` ask for the runs.",
    )
    def job() -> None:
        find()

    return job


def _find(context: dg.OpExecutionContext, recipe: Recipe, name: str, config: NewConfig) -> Iterator[Any]:
    steps = _steps(recipe, config)
    asked = wanted(judge(recipe, context.instance), STATES[name], steps)
    measured = rates(recipe, context.instance)
    _tell_reasons(asked, context.log.info)
    if isinstance(config, StaleConfig) and config.canary and not config.dry_run:
        restamped = set()
        for event, outcome in _told(settle(recipe, asked, context.log.info), context.instance):
            restamped.add((outcome.stem, outcome.step))
            yield event
        asked = [it for it in asked if (it.stem, it.step) not in restamped]
        context.log.info(f"{len(restamped)} results kept their rows and got the new identity")
    takes = estimate(recipe, asked, measured)
    context.log.info(f"To compute: {takes.text}")
    if config.dry_run:
        context.log.info("Nothing was done. Set dry_run to false to do it.")
    elif not config.compute:
        context.log.info(f"Proposed only. Launch {name} with dry_run: false and compute: true to do it.")
    yield dg.Output(None, metadata={"to_compute": takes.text, **takes.numbers})


def _told(outcomes: Iterable[Outcome], instance: dg.DagsterInstance) -> Iterator[tuple[Event, Outcome]]:
    """Yield the events of results that got the new identity; those that did not will be computed."""
    for outcome in outcomes:
        if outcome.status is Status.RESTAMPED:
            yield from ((event, outcome) for event in events(outcome, instance))


def _steps(recipe: Recipe, config: NewConfig) -> set[Any]:
    try:
        return chosen_steps(recipe, config.assets)
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _tell_reasons(asked: Sequence[Validity], tell: Tell) -> None:
    """Tell every reason once, with the number of slides it holds for."""
    groups: dict[tuple[Any, str], int] = {}
    for validity in asked:
        key = (validity.step, validity.why or validity.state.value)
        groups[key] = groups.get(key, 0) + 1
    for (step, why), count in list(groups.items())[:100]:
        tell(f"{step}: {count} slides: {why}")


def _proposals(recipe: Recipe) -> dg.SensorDefinition:
    """Return the sensor that looks once at every change of the project, and asks for nothing twice."""

    @dg.sensor(
        name="propose_upgrade",
        job_name=MATERIALIZE_STALE,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="When an encoder, the segmenter or a geometry changed, launches materialize_stale: the canary is "
        "sent, and what differs is computed where [upgrades] automatic is true, or else proposed.",
    )
    def propose_upgrade(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        versions = _digest(f"{stage.step} {code_version(stage)}" for stage in recipe.stages)
        if context.cursor == versions:
            return dg.SkipReason("the project asks for what it asked for before")
        stale = wanted(judge(recipe, context.instance), [State.STALE], {stage.step for stage in recipe.stages})
        if not stale:
            return dg.SensorResult(skip_reason="nothing is stale", cursor=versions)
        config = {"dry_run": False, "compute": recipe.project.upgrades.automatic}
        key = _digest([versions, *(f"{it.stem} {it.step}" for it in stale)])
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=key, run_config={"ops": {"find_stale": {"config": config}}})],
            cursor=versions,
        )

    return propose_upgrade


def _launches(
    recipe: Recipe, jobs: Sequence[dg.JobDefinition], process: "UnresolvedAssetJobDefinition"
) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name="launch_batches",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=list(jobs),
        request_job=process,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the runs that materialize_new and materialize_stale found necessary, in batches.",
    )
    def launch_batches(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        run = context.dagster_run
        config = config_of(run)
        if config.dry_run or not config.compute:
            yield dg.SkipReason(f"{run.job_name} was to propose only")
            return
        found = judge(recipe, context.instance)
        asked = wanted(found, STATES[run.job_name], chosen_steps(recipe, config.assets))
        tags = {"atlaspatch/reason": run.job_name, "atlaspatch/asked_by": run.run_id}
        asks = list(requests(orders(recipe, found, asked), recipe.project.runtime.slides_per_run, run.run_id, tags))
        yield from asks[:MOST_RUNS_ASKED]

    return launch_batches


def config_of(run: dg.DagsterRun) -> NewConfig:
    """Return the configuration of a run of these jobs, defaults filled in."""
    config: Any = run.run_config
    ops = config.get("ops", {}) if isinstance(config, dict) else {}
    values = next(iter(ops.values()), {}).get("config", {}) if ops else {}
    return StaleConfig(**values) if run.job_name == MATERIALIZE_STALE else NewConfig(**values)


def _prune(recipe: Recipe) -> dg.JobDefinition:
    @dg.op(name="sweep", description="Removes what killed processes left half-written; files being written stay.")
    def sweep(context: dg.OpExecutionContext, config: PruneConfig) -> None:
        from atlaspatch_core.store import Store

        store, names = Store(recipe.project.output), [geometry.name for geometry in recipe.project.geometry]
        files = store.half_written(names)
        for file in files[:1000]:
            context.log.info("%s, %.1f MB", file, file.stat().st_size / 1e6 if file.exists() else 0)
        removed = 0 if config.dry_run else store.sweep(names)
        context.log.info(f"{len(files)} half-written files, {removed} removed{_hint(config.dry_run)}")

    @dg.job(
        name=PRUNE,
        executor_def=dg.in_process_executor,
        description="Removes half-written files. Says which, and removes them with dry_run: false.",
    )
    def prune_temporary_files() -> None:
        sweep()

    return prune_temporary_files


def _hint(dry_run: bool) -> str:
    return "; set dry_run to false to remove them" if dry_run else ""


def _digest(lines: Iterable[str]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()[:16]
