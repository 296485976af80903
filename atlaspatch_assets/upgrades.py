"""Jobs that make new or stale outputs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from atlaspatch_assets.backfill import chosen_steps, rates, wanted
from atlaspatch_assets.case_requests import in_words
from atlaspatch_assets.case_validity import judge_cases
from atlaspatch_assets.checks import Standing
from atlaspatch_assets.events import Event, events
from atlaspatch_assets.pools import pool_of
from atlaspatch_assets.repair_config import MATERIALIZE_NEW, MATERIALIZE_STALE, STATES, NewConfig, StaleConfig
from atlaspatch_assets.repair_sensors import build_launches, build_proposals
from atlaspatch_assets.results import NOTHING_DONE, table
from atlaspatch_assets.validity import judge
from atlaspatch_core.discovery import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.estimate import estimate
from atlaspatch_core.outcome import Outcome, Status, Step
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.validity import Validity

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

Tell = Callable[[str], object]


def build_upgrade_definitions(recipe: Recipe, processes: "Sequence[UnresolvedAssetJobDefinition]") -> dg.Definitions:
    """Return the jobs that make new and stale outputs, and their sensors."""
    jobs = [_job(recipe, MATERIALIZE_NEW), _job(recipe, MATERIALIZE_STALE)]
    return dg.Definitions(jobs=jobs, sensors=[build_proposals(recipe), build_launches(recipe, jobs, processes)])


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
    found = judge(recipe, context.instance)
    asked = wanted(found, STATES[name], steps)
    of_cases = wanted([it.validity for it in judge_cases(recipe, context.instance, found)], STATES[name], steps)
    measured = rates(recipe, context.instance)
    _tell_reasons([*asked, *of_cases], context.log.info)
    if isinstance(config, StaleConfig) and config.canary and not config.dry_run:
        restamped = set()
        for event, outcome in _told(settle(recipe, asked, context.log.info), context.instance):
            restamped.add((outcome.stem, outcome.step))
            yield event
        asked = [it for it in asked if (it.stem, it.step) not in restamped]
        context.log.info(f"{len(restamped)} results kept their rows and got the new identity")
    takes = estimate(recipe, asked, measured)
    text = in_words(takes.text, of_cases)
    context.log.info(f"To compute: {text}")
    if config.dry_run:
        context.log.info(NOTHING_DONE)
    elif not config.compute:
        context.log.info(f"Proposed only. Launch {name} with dry_run: false and compute: true to do it.")
    cases = {"cases": len({it.stem for it in of_cases})} if recipe.cases else {}
    told = {"to_compute": text, **takes.numbers, **cases, "reasons": _reasons([*asked, *of_cases])}
    yield dg.Output(None, metadata=told)


def _told(outcomes: Iterable[Outcome], instance: dg.DagsterInstance) -> Iterator[tuple[Event, Outcome]]:
    """Yield the events of results that got the new identity; those that did not will be computed."""
    standing = Standing(instance)
    for outcome in outcomes:
        if outcome.status is Status.RESTAMPED:
            yield from ((event, outcome) for event in events(outcome, standing))


def _steps(recipe: Recipe, config: NewConfig) -> set[Any]:
    try:
        return chosen_steps(recipe, config.assets)
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _tell_reasons(asked: Sequence[Validity], tell: Tell) -> None:
    """Tell every reason once, with the number of slides it holds for."""
    for (step, why), stems in list(_by_reason(asked).items())[:100]:
        tell(f"{step}: {len(stems)} {'cases' if step.kind == 'patient_embedding' else 'slides'}: {why}")


def _reasons(asked: Sequence[Validity]) -> dg.MetadataValue:
    """Return the same as a table, with some of the slides."""
    rows = [
        {"output": str(step), "slides": len(stems), "why": why, "such_as": ", ".join(stems[:5])}
        for (step, why), stems in _by_reason(asked).items()
    ]
    return table(rows, output="string", slides="int", why="string", such_as="string")


def _by_reason(asked: Sequence[Validity]) -> dict[tuple[Step, str], list[str]]:
    groups: dict[tuple[Step, str], list[str]] = {}
    for validity in asked:
        groups.setdefault((validity.step, validity.why or validity.state.value), []).append(validity.stem)
    return groups
