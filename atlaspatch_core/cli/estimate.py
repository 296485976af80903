"""``atlaspatch estimate``: what slides and cases miss, or have stale, and the patches, hours and disk that it takes."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.columns import columns
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.devices import check_devices, tell_absent_devices
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.slides import slides_of
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.cli.working import INTERRUPTED
from atlaspatch_core.consent import executing_nothing
from atlaspatch_core.errors import AtlasPatchError, ForeignExit
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.operations.estimate import Estimate
    from atlaspatch_core.validity.recipe import Recipe


@documented_command(
    "estimate",
    section="Process slides",
    summary="Say what is left to do: hours, disk",
    examples=(
        "atlaspatch estimate",
        "atlaspatch estimate --measure --slides 5",
    ),
)
@PROJECT
@click.option("--measure", is_flag=True, help="Measure on this machine first: a few slides, and seconds per encoder.")
@click.option("--slides", "count", default=3, show_default=True, type=Whole(1), help="Slides that --measure takes.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def estimate(context: click.Context, project_file: Path, measure: bool, count: int, as_json: bool) -> None:
    """Say what a project's missing and stale outputs take: slides, cases, patches, hours, disk.

    Rates are what --measure found, or what earlier runs took, as the output folder and the Dagster instance in
    DAGSTER_HOME (~/.atlaspatch/dagster by default) remember; what is assumed for want of both is said. --measure
    computes for real in a temporary folder and leaves only its rates in the output folder. Hours are of one process on
    this machine.

    Exit code: 0, whatever the estimate; 1 when there is no slide; 2 for wrong usage.
    """
    if not measure:
        context.with_resource(executing_nothing())
    recipe = recipe_of_file(project_file)
    if measure:
        check_devices(*recipe.project.runtime.devices)
    else:
        tell_absent_devices(recipe.project.runtime)
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    try:
        with logging_to_stderr(False):
            if measure:
                _measure(recipe, count)
            cost, failed = _estimated(recipe, hooks)
    except KeyboardInterrupt:
        click.echo("\nInterrupted: nothing was kept; run again.", err=True)
        context.exit(INTERRUPTED)
    except ForeignExit as error:
        raise click.UsageError(str(error)) from error
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    free = free_gigabytes(recipe.project.output)
    if as_json:
        click.echo(json.dumps(as_values(cost, failed, free), indent=1))
    else:
        click.echo("\n".join(as_lines(cost, failed, free)))


def _measure(recipe: "Recipe", count: int) -> None:
    """Measure, and keep the rates."""
    from atlaspatch_core.operations.measured_rates import measure_rates
    from atlaspatch_core.operations.rates import keep_measured, rates_file
    from atlaspatch_core.storage.atomic import make_folder

    make_folder(rates_file(recipe.project.output).parent)  # what cannot be kept is not worth measuring
    sources = slides_of(recipe.project).sources
    click.echo(f"Measuring {min(count, len(sources))} of {len(sources)} slides …", err=True)
    measured = measure_rates(recipe, sources, slides=count, tell=lambda text: click.echo(text, err=True))
    keep_measured(recipe.project.output, measured)


def _estimated(recipe: "Recipe", hooks: Hooks) -> "tuple[Estimate, int]":
    """Return the estimate, and how many outputs failed and are not in it."""
    from atlaspatch_core.cli.status import show_status
    from atlaspatch_core.operations.estimate import estimate_work, measured_rates

    seen = show_status(recipe, hooks)
    outputs = [*seen.outputs, *seen.cases]
    unmade = [output for output in outputs if output.state in ("missing", "stale")]
    of_runs = hooks.rates(recipe) if hooks.rates else {}
    cost = estimate_work(recipe, unmade, {**of_runs, **measured_rates(recipe)})
    return cost, sum(output.state == "failed" for output in outputs)


def free_gigabytes(folder: Path) -> float | None:
    """Return the free space where a folder lies or will lie, GB; None where it cannot be told."""
    try:
        return (
            shutil.disk_usage(next(place for place in (folder, *folder.absolute().parents) if place.exists())).free
            / 1e9
        )
    except (OSError, StopIteration):
        return None


def as_values(cost: "Estimate", failed: int, free: float | None) -> dict[str, Any]:
    """Return JSON values."""
    steps = [
        {
            "step": str(part.step),
            ("cases" if part.unit == "cases" else "slides"): part.slides,
            "patches": part.patches,
            "patches_from": part.patches_from,
            "per_second": part.rate.per_second,
            "unit": part.unit,
            "source": part.rate.source,
            "hours": part.seconds / 3600,
            "gigabytes": part.gigabytes,
        }
        for part in cost.parts
    ]
    more = {"assumed": [str(step) for step in cost.assumed], "failed_outputs": failed, "free_gigabytes": free}
    return {**cost.numbers, "cases": cost.cases, **more, "steps": steps}


def as_lines(cost: "Estimate", failed: int, free: float | None) -> list[str]:
    """Return the estimate as text: a table of steps, and the sums."""
    from atlaspatch_core.operations.estimate import OF_CASES, hours

    rest = [f"{format_count(failed, 'output')} failed and are not counted"] if failed else []
    if not cost.parts:
        return ["nothing to do: all that can be made is fresh", *rest]
    head = ("step", "slides or cases" if cost.cases else "slides", "patches", "rate", "time", "disk", "rate from")
    rows = [head, *(_row(part) for part in cost.parts)]
    lines = columns(rows)
    lines += [f"{part.step}: patches {part.patches_from}" for part in cost.parts if part.patches_from]
    size = f"{cost.gigabytes:.3g} GB of features" + ("" if free is None else f", {free:,.0f} GB are free")
    slides = format_count(cost.slides, "slide", ",")
    cases = f", {format_count(cost.cases, 'case', ',')}" if cost.cases else ""
    lines.append(f"{slides}{cases}, {cost.patches:,} patches, about {hours(cost.seconds)} in one process, {size}")
    if free is not None and cost.gigabytes > free:
        lines.append("The disk is too small: free space, or let the project write to another one")
    if any(step.kind != OF_CASES for step in cost.assumed):
        lines.append("Some rates are assumed; 'atlaspatch estimate --measure' measures them on this machine")
    return [*lines, *rest]


def _row(part: Any) -> tuple[str, ...]:
    from atlaspatch_core.operations.estimate import hours

    patches = f"{part.patches:,}" if part.patches else ""
    size = f"{part.gigabytes:.3g} GB" if part.gigabytes else ""
    rate = f"{part.rate.per_second:,.{0 if part.rate.per_second >= 100 else 2}f} {part.unit}/s"
    return str(part.step), f"{part.slides:,}", patches, rate, hours(part.seconds), size, part.rate.source
