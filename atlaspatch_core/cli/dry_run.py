"""``--dry-run``: what a command that makes results would do, without doing it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.run_summary import TO_COMPUTE, TO_REUSE, JsonSummary, SummaryOutput, status_of
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.cli.hooks import Hooks
    from atlaspatch_core.cli.values import RunMode
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.pipeline.patients.manifest import Manifest
    from atlaspatch_core.validity.outcome import OutputKey
    from atlaspatch_core.validity.recipe import Recipe
    from atlaspatch_core.validity.states import Validity

FORCED, NEW = "forced", "new"
"""Why something is computed, in the words of a run."""


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """What would be worked on, and how."""

    recipe: "Recipe"
    discovery: "Discovery"
    steps: "Collection[OutputKey] | None" = None
    """Those that are taken; None: all."""
    trusted: "Collection[OutputKey]" = ()
    """Those whose outputs are taken as they lie."""
    manifest: "Manifest | None" = None
    """The cases, of a command that embeds some."""


def tell_plan(command: str, plan: WorkPlan, mode: "RunMode", hooks: "Hooks") -> int:
    """Print what a command would do, as lines or as JSON, and return its exit code; nothing is written."""
    slides, cases = _states(plan, hooks)
    outputs = {stem: [_planned(one, plan, mode) for one in of_one] for stem, of_one in slides.items()}
    of_cases = {case: [_planned(one, plan, mode) for one in of_one] for case, of_one in cases.items()}
    left_out = tuple(omission.why for omission in plan.discovery.left_out)
    exit_code = 1 if left_out or plan.discovery.clashes else 0
    if mode.as_json:
        output = plan.recipe.project.output
        JsonSummary(command, output, exit_code, outputs, of_cases, left_out, dry_run=True).write()
        return exit_code
    unmade = [
        validity
        for validities, plans in ((slides, outputs), (cases, of_cases))
        for name, of_one in validities.items()
        for validity, planned in zip(of_one, plans[name], strict=True)
        if planned.status == TO_COMPUTE
    ]
    _print_lines(outputs, of_cases, plan, mode, unmade)
    return exit_code


def _print_lines(
    slides: Mapping[str, Sequence[SummaryOutput]],
    cases: Mapping[str, Sequence[SummaryOutput]],
    plan: WorkPlan,
    mode: "RunMode",
    unmade: "Sequence[Validity]",
) -> None:
    if not mode.quiet:
        for name, outputs in (*slides.items(), *((f"case {name}", outputs) for name, outputs in cases.items())):
            click.echo(f"{name}: {' · '.join(_phrases(outputs)) or 'nothing to do'}")
        click.echo("\n".join(_cost_lines(plan.recipe, unmade)))
    click.echo(last_line(slides, plan.recipe.project.output))


def last_line(slides: Mapping[str, Sequence[SummaryOutput]], output: Path) -> str:
    """Return what a dry run comes to."""
    due = sum(status_of(outputs) == TO_COMPUTE for outputs in slides.values())
    counts = f"{due} to compute, {len(slides) - due} up to date"
    return f"{format_count(len(slides), 'slide')}: {counts}; nothing was written to {output}"


def _phrases(outputs: Sequence[SummaryOutput]) -> Iterable[str]:
    due = [output for output in outputs if output.status == TO_COMPUTE]
    for why, alike in groupby(due, key=lambda output: output.why):
        yield f"{', '.join(output.output for output in alike)} to compute{f' ({why})' if why else ''}"
    yield from (f"{output.output}: {output.why}" for output in outputs if output.status == TO_REUSE and output.why)


def _states(plan: WorkPlan, hooks: "Hooks") -> "tuple[dict[str, list[Validity]], dict[str, list[Validity]]]":
    """Return stem, and case_id, to the states of what is taken, upstream first."""
    from atlaspatch_core.operations.tracking.project_status import project_status

    failures = hooks.failures(plan.recipe) if hooks.failures and hooks.failures_of_folders else {}
    seen = project_status(plan.recipe, plan.discovery, failures)
    slides, cases = {}, {}
    for output in seen.outputs:
        if plan.steps is None or output.step in plan.steps:
            slides.setdefault(output.stem, []).append(output)
    if plan.manifest:
        from atlaspatch_core.pipeline.patients.validity import case_states_in_files

        for case in case_states_in_files(plan.recipe, plan.manifest, seen.outputs, failures):
            cases.setdefault(case.validity.stem, []).append(case.validity)
    return slides, cases


def _planned(validity: "Validity", plan: WorkPlan, mode: "RunMode") -> SummaryOutput:
    """Return what would become of an output."""
    from atlaspatch_core.validity.rules import State

    lies_there = validity.state in (State.FRESH, State.STALE)
    is_kept = lies_there if validity.step in plan.trusted else validity.state is State.FRESH and not mode.force
    if is_kept:
        return SummaryOutput.of_step(validity.step, TO_REUSE, why=_addition(validity, plan.recipe))
    unexplained = NEW if validity.state is State.MISSING else str(validity.state)
    why = FORCED if validity.state is State.FRESH else validity.why or unexplained
    return SummaryOutput.of_step(validity.step, TO_COMPUTE, why=" ".join(why.split()))


def _addition(validity: "Validity", recipe: "Recipe") -> str:
    """Return what would be added to an output that is kept, a clause; empty for nothing."""
    from atlaspatch_core.storage.store import Store
    from atlaspatch_core.validity.kept_attention import TO_ADD, lacks_attention

    if validity.step.kind != "slide_embedding":
        return ""
    is_lacking = lacks_attention(Store(recipe.project.output), validity.stem, recipe.stage(validity.step))
    return TO_ADD if is_lacking else ""


def _cost_lines(recipe: "Recipe", unmade: "Sequence[Validity]") -> list[str]:
    """Return what the outputs take: hours and gigabytes."""
    from atlaspatch_core.cli.estimate import as_lines, free_gigabytes
    from atlaspatch_core.operations.estimate import estimate_work, measured_rates

    return as_lines(estimate_work(recipe, unmade, measured_rates(recipe)), 0, free_gigabytes(recipe.project.output))
