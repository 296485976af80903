"""Jobs that make new, stale or failed outputs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob
from atlaspatch_assets.defs.patients.requests import describe_amount
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.backfill import choose_steps, measure_rates, plan_backfill, select_validities
from atlaspatch_assets.defs.validity.failed_slides import find_gone_slides, plan_remarks
from atlaspatch_assets.defs.validity.job_config import (
    MATERIALIZE_FAILED,
    MATERIALIZE_NEW,
    MATERIALIZE_STALE,
    STATES,
    RepairConfig,
    StaleConfig,
)
from atlaspatch_assets.defs.validity.sensors import build_launches, build_proposals
from atlaspatch_assets.lib.events import Event, outcome_events
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.pools import pool_of
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_assets.lib.results import NO_VALUE, NOTHING_DONE, table_metadata
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.estimate import estimate
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import Validity

WriteLine = Callable[[str], object]

FINDS = {
    MATERIALIZE_NEW: "Finds outputs that are missing, and says what they take.",
    MATERIALIZE_STALE: "Finds outputs that are stale, sends a canary, and says what the rest takes.",
    MATERIALIZE_FAILED: "Finds outputs that failed, and says how many slides are tried again and what that takes.",
}
"""What the op of each job does."""

ASKS = (
    "says how many slides, patches, hours and gigabytes, and with dry_run: false has the sensor `launch_batches` ask "
    "for the runs."
)
MAKES = {
    MATERIALIZE_NEW: f"Makes outputs that are missing: {ASKS}",
    MATERIALIZE_STALE: f"Makes outputs that are stale: {ASKS}",
    MATERIALIZE_FAILED: "Tries outputs again that failed, whatever the reason, and makes what depends on them. A slide "
    f"that nobody mended fails again. It {ASKS}",
}
"""What the page of each job says."""


def build_upgrade_definitions(recipe: Recipe, processes: Sequence[AssetJob]) -> dg.Definitions:
    """Return the jobs that make new, stale and failed outputs, and their sensors."""
    jobs = [_build_job(recipe, name) for name in STATES]
    return dg.Definitions(jobs=jobs, sensors=[build_proposals(recipe), build_launches(recipe, jobs, processes)])


def try_canaries(recipe: Recipe, stale: Sequence[Validity], write_line: WriteLine) -> Iterator[Outcome]:
    """Try changed patch encoders on stored patches; yield the outcomes of results that got the new identity.

    A canary that cannot be sent is told and passed over: its slides will be computed.
    """
    from atlaspatch_core.upgrades.trial import restamp, trials, try_upgrade

    sources = {source.stem: source for source in find_slides(recipe.project).sources}
    for trial in trials(recipe, stale):
        write_line(f"{trial.stage.step}: {len(trial.stems)} slides, {trial.why}")
        try:
            canary = try_upgrade(recipe, trial, sources)
        except AtlasPatchError as error:
            write_line(f"{trial.stage.step}: no canary could be sent: {error}")
            continue
        write_line(f"{trial.stage.step}: {canary.text}")
        if canary.same:
            yield from restamp(recipe, trial, canary)


def _build_job(recipe: Recipe, name: str) -> dg.JobDefinition:
    names = ProjectNames.of(recipe.project)
    op_name = names.label(f"find_{name.removeprefix('materialize_')}")
    if name == MATERIALIZE_STALE:

        @dg.op(name=op_name, pool=pool_of(recipe.project.runtime), description=FINDS[name], out=NO_VALUE)
        def find(context: dg.OpExecutionContext, config: StaleConfig) -> Iterator[Any]:
            yield from _find_outputs(context, recipe, name, config)
    else:

        @dg.op(name=op_name, description=FINDS[name], out=NO_VALUE)
        def find(context: dg.OpExecutionContext, config: RepairConfig) -> Iterator[Any]:
            yield from _find_outputs(context, recipe, name, config)

    @dg.job(name=names.label(name), executor_def=dg.in_process_executor, description=MAKES[name], tags=names.tags)
    def job() -> None:
        find()

    return job


def _find_outputs(context: dg.OpExecutionContext, recipe: Recipe, name: str, config: RepairConfig) -> Iterator[Any]:
    names, states, steps = ProjectNames.of(recipe.project), STATES[name], _choose_steps(recipe, config)
    validities = recorded_validities(recipe, context.instance)
    todo = plan_backfill(
        recipe, validities, states, steps, find_gone_slides(recipe.project, {validity.stem for validity in validities})
    )
    of_cases = select_validities(case_validities(recipe, context.instance, validities), states, steps)
    measured, outputs = measure_rates(recipe, context.instance), list(todo.outputs)
    _write_reasons([*outputs, *of_cases], context.log.info)
    if isinstance(config, StaleConfig) and config.canary and not config.dry_run:
        restamped = set()
        for event, outcome in _restamped_events(
            try_canaries(recipe, outputs, context.log.info), OpenFailures(names, context.instance)
        ):
            restamped.add((outcome.stem, outcome.step))
            yield event
        outputs = [validity for validity in outputs if (validity.stem, validity.step) not in restamped]
        context.log.info(f"{len(restamped)} results kept their rows and got the new identity")
    need = estimate(recipe, outputs, measured)
    text = describe_amount(need.text, of_cases)
    for line in (
        *plan_remarks(recipe.project, context.instance, todo),
        f"To compute: {text}",
        *_next_steps(names.label(name), config),
    ):
        context.log.info(line)
    cases = {"cases": len({validity.stem for validity in of_cases})} if recipe.cases else {}
    held_up = {"held_up": len({validity.stem for validity in todo.held_up})}
    metadata = {"to_compute": text, **need.numbers, **cases, **held_up, "reasons": _reason_table([*outputs, *of_cases])}
    yield dg.Output(None, metadata=metadata)


def _next_steps(name: str, config: RepairConfig) -> list[str]:
    if config.dry_run:
        return [NOTHING_DONE]
    return [] if config.compute else [f"Proposed only. Launch {name} with dry_run: false and compute: true to do it."]


def _restamped_events(outcomes: Iterable[Outcome], open_failures: OpenFailures) -> Iterator[tuple[Event, Outcome]]:
    """Yield the events of results that got the new identity; those that did not will be computed."""
    for outcome in outcomes:
        if outcome.status is Status.RESTAMPED:
            yield from ((event, outcome) for event in outcome_events(outcome, open_failures))


def _choose_steps(recipe: Recipe, config: RepairConfig) -> set[Any]:
    try:
        return choose_steps(recipe, config.assets)
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _write_reasons(outputs: Sequence[Validity], write_line: WriteLine) -> None:
    """Tell every reason once, with the number of slides it holds for."""
    for (step, why), stems in list(_group_by_reason(outputs).items())[:100]:
        what = "case" if step.kind == "patient_embedding" else "slide"
        write_line(f"{step}: {len(stems)} {what}{'' if len(stems) == 1 else 's'}: {why}")


def _reason_table(outputs: Sequence[Validity]) -> dg.MetadataValue:
    """Return the same as a table, with some of the slides."""
    rows = [
        {"output": str(step), "slides": len(stems), "why": why, "such_as": ", ".join(stems[:5])}
        for (step, why), stems in _group_by_reason(outputs).items()
    ]
    return table_metadata(rows, output="string", slides="int", why="string", such_as="string")


def _group_by_reason(outputs: Sequence[Validity]) -> dict[tuple[OutputKey, str], list[str]]:
    groups: dict[tuple[OutputKey, str], list[str]] = {}
    for validity in outputs:
        groups.setdefault((validity.step, validity.why or validity.state.value), []).append(validity.stem)
    return groups
