"""``atlaspatch status``: what of a project is fresh, stale, missing or failed, and why."""

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.slides import slides_of

if TYPE_CHECKING:
    from atlaspatch_core.outcome import Step
    from atlaspatch_core.recipe import Recipe
    from atlaspatch_core.validity import Validity

COLUMNS = ("slide", "output", "state", "why")
COLOURS = {"fresh": "green", "stale": "yellow", "missing": None, "failed": "red"}


@click.command()
@PROJECT
@click.option("--all", "show_all", is_flag=True, help="List slides of which everything is fresh, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per slide and output.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line per slide and output.")
@click.pass_context
def status(context: click.Context, project_file: Path, show_all: bool, as_json: bool, as_csv: bool) -> None:
    """Show which outputs of a project are fresh, stale, missing or failed, and why.

    Nothing is computed and no slide is opened: the output folder is held against the project file. With DAGSTER_HOME
    set, that Dagster instance is asked why slides failed.

    Exit code: 0, whatever the state; 2 for wrong usage.
    """

    if as_json and as_csv:
        raise click.UsageError("either --json or --csv")
    recipe = recipe_of_file(project_file)
    found = look(recipe, context.obj if isinstance(context.obj, Hooks) else Hooks())
    if as_json:
        click.echo(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows(found)], indent=1))
    elif as_csv:
        click.echo(as_table(found), nl=False)
    else:
        click.echo(as_text(found, [stage.step for stage in recipe.stages], show_all=show_all))


def look(recipe: "Recipe", hooks: Hooks) -> "list[Validity]":
    """Return the state of every output of the slides that lie in the project's folders."""
    from atlaspatch_core.known import read_known
    from atlaspatch_core.recipe import SLIDE
    from atlaspatch_core.store import Store
    from atlaspatch_core.validity import Stored, stored_in_files, validities

    discovery = slides_of(recipe.project)
    known = read_known(Store(recipe.project.output))
    files = stored_in_files(recipe, known)
    failed = {step: dict(told) for step, told in (hooks.failures(recipe) if hooks.failures else {}).items()}
    clashes = {clash.stem: str(clash.error) for clash in discovery.clashes}
    failed[SLIDE] = failed.get(SLIDE, {}) | clashes
    stored = Stored(files.fingerprints, failed, files.without_patches)
    stated = {source.stem: source.mpp for source in discovery.sources}
    return list(validities(recipe, sorted([*stated, *clashes]), stored, stated=stated, known=known))


def rows(found: "Sequence[Validity]") -> list[tuple[str, str, str, str]]:
    """Return slide, output, state and why as texts."""
    return [(it.stem, str(it.step), it.state.value, it.why) for it in found]


def as_table(found: "Sequence[Validity]") -> str:
    """Return CSV with a head."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([COLUMNS, *rows(found)])
    return stream.getvalue()


def as_text(found: "Sequence[Validity]", steps: "Sequence[Step]", *, show_all: bool) -> str:
    """Return a matrix of slides × outputs, the reasons below each slide, and the totals."""
    slides = [(stem, list(of_slide)) for stem, of_slide in groupby(found, lambda it: it.stem)]
    shown = [(stem, states) for stem, states in slides if show_all or any(it.state != "fresh" for it in states)]
    heads = [str(step) for step in steps]
    width = max((len(stem) for stem, _ in shown), default=0)
    lines = [_line("", [(head, None) for head in heads], heads, width)] if shown else []
    for stem, states in shown:
        lines.append(_line(stem, [(it.state.value, COLOURS[it.state.value]) for it in states], heads, width))
        lines += [f"    {it.step}: {it.why}" for it in states if it.why]
    return "\n".join([*lines, *totals(found, steps), _sum(len(slides), len(shown) if not show_all else None)])


def _line(first: str, cells: Sequence[tuple[str, str | None]], heads: Sequence[str], width: int) -> str:
    widths = [*(len(head) for head in heads[:-1]), 0]
    padded = (
        click.style(text, colour) + " " * (wide - len(text)) for (text, colour), wide in zip(cells, widths, strict=True)
    )
    return "  ".join([first.ljust(width), *padded])


def totals(found: "Sequence[Validity]", steps: "Sequence[Step]") -> list[str]:
    """Return a line per output with the number of slides in each state."""
    counts = Counter((it.step, it.state.value) for it in found)
    width = max(len(str(step)) for step in steps)
    told = {step: ", ".join(f"{counts[step, name]} {name}" for name in COLOURS if counts[step, name]) for step in steps}
    return [f"{str(step).ljust(width)}  {text or 'no slides'}" for step, text in told.items()]


def _sum(slides: int, shown: int | None) -> str:
    text = f"{slides} slide{'' if slides == 1 else 's'}"
    if shown is None:
        return text
    return f"{text}, all fresh" if not shown else f"{text}, {slides - shown} of them wholly fresh and not listed"
