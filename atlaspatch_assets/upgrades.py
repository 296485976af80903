"""Jobs that make new or stale outputs, and that sweep."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.backfill import chosen_steps, rates, wanted
from atlaspatch_assets.events import Event, events
from atlaspatch_assets.pools import pool_of
from atlaspatch_assets.repair_config import MATERIALIZE_NEW, MATERIALIZE_STALE, STATES, NewConfig, StaleConfig
from atlaspatch_assets.repair_sensors import build_launches, build_proposals
from atlaspatch_assets.validity import judge
from atlaspatch_core.discovery import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.estimate import estimate
from atlaspatch_core.outcome import Outcome, Status
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.validity import Validity

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

PRUNE = "prune_temporary_files"

Tell = Callable[[str], object]


class PruneConfig(dg.Config):
    """What is swept away."""

    dry_run: bool = Field(default=True, description="Only say which files would be removed.")


def build_upgrade_definitions(recipe: Recipe, process: "UnresolvedAssetJobDefinition") -> dg.Definitions:
    """Return the jobs that make new and stale outputs and sweep, and their sensors."""
    jobs = [_job(recipe, MATERIALIZE_NEW), _job(recipe, MATERIALIZE_STALE), _prune(recipe)]
    return dg.Definitions(jobs=jobs, sensors=[build_proposals(recipe), build_launches(recipe, jobs[:2], process)])


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
