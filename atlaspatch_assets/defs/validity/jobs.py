"""Jobs that make new, stale or failed outputs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob
from atlaspatch_assets.defs.validity.backfill import choose_steps
from atlaspatch_assets.defs.validity.job_config import (
    MATERIALIZE_FAILED,
    MATERIALIZE_NEW,
    MATERIALIZE_STALE,
    STATES,
    RepairConfig,
    StaleConfig,
)
from atlaspatch_assets.defs.validity.repair import Repair, group_by_reason, plan_repair, reason_lines
from atlaspatch_assets.defs.validity.sensors import build_launches, build_proposals
from atlaspatch_assets.lib.declaring import op_job
from atlaspatch_assets.lib.events import Event, outcome_events
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.pools import computes_on_gpu, pool_of
from atlaspatch_assets.lib.project_pin import pin_tags, stop_if_changed
from atlaspatch_assets.lib.recorded import MOST_VERDICTS, recorded_validities, validity_verdicts
from atlaspatch_assets.lib.results import NOTHING_DONE, table_metadata
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_assets.lib.without_patches import retold_embeddings
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity

WriteLine = Callable[[str], object]

MOST_REASONS = 100
"""Reasons that are told one by one."""

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
    proposed = jobs[:2]
    return dg.Definitions(
        jobs=jobs, sensors=[build_proposals(recipe, proposed), build_launches(recipe, jobs, processes)]
    )


def try_canaries(recipe: Recipe, stale: Sequence[Validity], write_line: WriteLine) -> Iterator[Outcome]:
    """Try changed patch encoders on stored patches; yield the outcomes of results that got the new identity.

    A canary that cannot be sent is told and passed over: its slides will be computed.
    """
    from atlaspatch_core.upgrades.restamping import restamp
    from atlaspatch_core.upgrades.trial import trials, try_upgrade

    sources = find_slides(recipe.project).by_stem
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
    stale = name == MATERIALIZE_STALE

    def find(context: dg.OpExecutionContext, config: RepairConfig) -> Iterator[Any]:
        yield from _find_outputs(context, recipe, name, config)

    find.__annotations__["config"] = StaleConfig if stale else RepairConfig
    return op_job(
        ProjectNames.of(recipe.project),
        name,
        f"find_{name.removeprefix('materialize_')}",
        description=MAKES[name],
        op_description=FINDS[name],
        pool=pool_of(recipe.project.runtime) if stale else None,
        op_tags=pin_tags(recipe.project),
        on_gpu=stale and computes_on_gpu(recipe.project.runtime),
    )(find)


def _find_outputs(context: dg.OpExecutionContext, recipe: Recipe, name: str, config: RepairConfig) -> Iterator[Any]:
    stop_if_changed(context, ProjectNames.of(recipe.project).slides)
    try:
        steps = choose_steps(recipe, config.assets)
        repair = plan_repair(recipe, context.instance, STATES[name], steps, config.cohorts)
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    outputs, write_line = list(repair.slides.outputs), context.log.info
    for line in reason_lines(repair.outputs, MOST_REASONS):
        write_line(line)
    if isinstance(config, StaleConfig) and config.canary and not config.dry_run:
        restamped: set[tuple[str, OutputKey]] = set()
        for event, outcome in _restamped_events(
            try_canaries(recipe, outputs, write_line), OpenFailures(repair.names, context.instance)
        ):
            restamped.add((outcome.stem, outcome.step))
            yield event
        write_line(f"{len(restamped)} results kept their rows and got the new identity")
    if not config.dry_run:
        current = recorded_validities(recipe, context.instance)
        yield from retold_embeddings(recipe, context.instance, current, MOST_VERDICTS)
        fresh = {(output.stem, output.step) for output in current if output.state is State.FRESH}
        outputs = [output for output in outputs if (output.stem, output.step) not in fresh]
        yield from validity_verdicts(repair.names, [*outputs, *repair.cases], context.instance)
    need = repair.estimate(outputs)
    text = repair.describe(need)
    for line in (*repair.remarks(), f"To compute: {text}", *_next_steps(repair.names.label(name), config)):
        write_line(line)
    reasons = _reason_table([*outputs, *repair.cases])
    yield dg.Output(None, metadata={"to_compute": text, **need.numbers, **_counts(repair), "reasons": reasons})


def _counts(repair: Repair) -> dict[str, int]:
    cases = {"cases": len({validity.stem for validity in repair.cases})} if repair.recipe.cases else {}
    return cases | {"held_up": len({validity.stem for validity in repair.slides.held_up})}


def _next_steps(name: str, config: RepairConfig) -> list[str]:
    if config.dry_run:
        return [NOTHING_DONE]
    return [] if config.compute else [f"Proposed only. Launch {name} with dry_run: false and compute: true to do it."]


def _restamped_events(outcomes: Iterable[Outcome], open_failures: OpenFailures) -> Iterator[tuple[Event, Outcome]]:
    """Yield the events of results that got the new identity; those that did not will be computed."""
    for outcome in outcomes:
        if outcome.status is Status.RESTAMPED:
            yield from ((event, outcome) for event in outcome_events(outcome, open_failures))


def _reason_table(outputs: Sequence[Validity]) -> dg.MetadataValue:
    """Return the same as a table, with some of the slides."""
    rows = [
        {"output": str(step), "slides": len(stems), "why": why, "such_as": ", ".join(stems[:5])}
        for (step, why), stems in group_by_reason(outputs).items()
    ]
    return table_metadata(rows, output="string", slides="int", why="string", such_as="string")
