"""The state of outputs as text: a matrix for people, rows for scripts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from atlaspatch_core.tables import write_table
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
    from atlaspatch_core.operations.tracking.runs import RunFile
    from atlaspatch_core.operations.tracking.unverified import UnverifiedResult
    from atlaspatch_core.tissue.segmenters import Segmenter
    from atlaspatch_core.validity.outcome import OutputKey
    from atlaspatch_core.validity.recipe import OutputSpec, Recipe
    from atlaspatch_core.validity.states import Validity

Warnings = Mapping[str, Sequence[str]]
"""Stem to what is odd about a slide."""
COLUMNS = ("slide", "output", "state", "why", "warnings")
MOST_NAMED = 20
"""Slides of a run that are named."""
UNVERIFIED = "unverified"
"""State of what was adopted without proof, and is no output of the project."""
COLOURS = {"fresh": "green", "stale": "yellow", "missing": None, "failed": "red"}


def rows(
    outputs: "Sequence[Validity]", warnings: Warnings, unverified: "Sequence[UnverifiedResult]" = ()
) -> list[tuple[str, ...]]:
    """Return slide, output, state, why and, beside the slide itself, its warnings as texts."""
    of_outputs = [
        (
            output.stem,
            str(output.step),
            output.state.value,
            output.why,
            "; ".join(warnings.get(output.stem, ())) if _is_slide(output) else "",
        )
        for output in outputs
    ]
    return of_outputs + [(result.stem, str(result.step), UNVERIFIED, result.why, "") for result in unverified]


def _is_slide(output: "Validity") -> bool:
    return output.step.kind == "slide"


def warning_lines(warnings: Warnings) -> list[str]:
    """Return a line for each slide that has warnings, below how many there are."""
    count = len(warnings)
    lines = [f"    {stem}: {'; '.join(texts)}" for stem, texts in warnings.items()]
    return [f"{format_count(count, 'slide')} with warnings:", *lines] if warnings else []


def plugin_notes(recipe: "Recipe") -> "dict[OutputKey, str]":
    """Return which outputs are of plugins: these were not executed, and what they declare is as results record it."""
    from atlaspatch_core.encoders.recorded import RECORDED

    makers = {stage.step: _maker(stage) for stage in recipe.stages}
    return {
        step: f"plugin {(maker.plugin or 'not there')[:16]}, not executed here"
        for step, maker in makers.items()
        if maker and maker.license == RECORDED and not _follows(maker)
    }


def _maker(stage: "OutputSpec") -> "PatchEncoder | SlideEncoder | Segmenter | None":
    """Return what makes an output, where a plugin may declare it."""
    return stage.segmentation.maker if stage.segmentation else stage.encoder


def _follows(maker: "PatchEncoder | SlideEncoder | Segmenter") -> bool:
    """Tell whether no plugin declares an encoder, as it exists for any patch encoder."""
    return maker.plugin is None and getattr(maker, "architecture", maker) is None


def as_table(outputs: "Sequence[Validity]", warnings: Warnings, unverified: "Sequence[UnverifiedResult]" = ()) -> str:
    """Return CSV with a head."""
    return write_table([COLUMNS, *rows(outputs, warnings, unverified)])


def unverified_lines(unverified: "Sequence[UnverifiedResult]") -> list[str]:
    """Return a line for each adopted result that the project does not ask for, below how many there are."""
    if not unverified:
        return []
    slides: dict[tuple[str, str], list[str]] = {}
    for result in unverified:
        slides.setdefault((str(result.step), result.why), []).append(result.stem)
    head = (
        f"{format_count(len(unverified), 'result')} unverified beside what the project asks for, kept and not computed "
        "by any run; name the encoder in the project, then 'atlaspatch adopt --verify' proves it:"
    )
    return [head, *(f"    {step} of {_named(stems)}: {why}" for (step, why), stems in slides.items())]


def _named(stems: Sequence[str]) -> str:
    return f"{', '.join(stems[:MOST_NAMED])}{f' and {len(stems) - MOST_NAMED} more' * (len(stems) > MOST_NAMED)}"


def of_cases(outputs: "Sequence[Validity]", steps: "Sequence[OutputKey]", *, show_all: bool) -> list[str]:
    """Return the same of cases; nothing where a project has none."""
    return ["", as_text(outputs, steps, show_all=show_all, what="case")] if outputs else []


def as_text(
    outputs: "Sequence[Validity]",
    steps: "Sequence[OutputKey]",
    *,
    show_all: bool,
    what: str = "slide",
    notes: "Mapping[OutputKey, str] | None" = None,
    unverified: "Sequence[UnverifiedResult]" = (),
) -> str:
    """Return a matrix of slides × outputs, the reasons below each slide, and the totals, some with a note.

    Below them is what is ``unverified`` beside the outputs.
    """
    slides = [(stem, list(of_slide)) for stem, of_slide in groupby(outputs, lambda output: output.stem)]
    shown = [(stem, states) for stem, states in slides if show_all or any(output.state != "fresh" for output in states)]
    heads = [str(step) for step in steps]
    width = max((len(stem) for stem, _ in shown), default=0)
    lines = [_line("", [(head, None) for head in heads], heads, width)] if shown else []
    for stem, states in shown:
        lines.append(
            _line(stem, [(output.state.value, COLOURS[output.state.value]) for output in states], heads, width)
        )
        lines += [f"    {output.step}: {output.why}" for output in states if output.why]
    sums = [*totals(outputs, steps, notes or {}), _sum(what, len(slides), None if show_all else len(shown))]
    if unverified and not shown and not show_all:
        sums[-1] += " of what the project asks for"
    return "\n".join([*lines, *sums, *unverified_lines(unverified)])


def _line(first: str, cells: Sequence[tuple[str, str | None]], heads: Sequence[str], width: int) -> str:
    widths = [*(len(head) for head in heads[:-1]), 0]
    padded = (
        click.style(text, colour) + " " * (wide - len(text)) for (text, colour), wide in zip(cells, widths, strict=True)
    )
    return "  ".join([first.ljust(width), *padded])


def totals(outputs: "Sequence[Validity]", steps: "Sequence[OutputKey]", notes: "Mapping[OutputKey, str]") -> list[str]:
    """Return a line per output with the number of slides in each state."""
    counts = Counter((output.step, output.state.value) for output in outputs)
    width = max(len(str(step)) for step in steps)
    summary_lines = {
        step: ", ".join(f"{counts[step, name]} {name}" for name in COLOURS if counts[step, name]) for step in steps
    }
    noted = {step: f" ({note})" for step, note in notes.items()}
    return [f"{str(step).ljust(width)}  {text or 'none'}{noted.get(step, '')}" for step, text in summary_lines.items()]


def _sum(what: str, slides: int, shown: int | None) -> str:
    text = format_count(slides, what)
    if shown is None:
        return text
    return f"{text}, all fresh" if not shown else f"{text}, {slides - shown} of them wholly fresh and not listed"


def run_lines(runs: "Sequence[RunFile]") -> Iterator[str]:
    """Yield a line for each run that lives, and for the last one."""
    from atlaspatch_core.operations.tracking.summary import summary_lines

    for run in runs:
        values = run.values
        when = f"started {values.get('started_at')}" + (
            f", ended {values['finished_at']}" if values.get("finished_at") else ""
        )
        why = f" ({values['error']})" if values.get("error") else ""
        slides = summary_lines(values.get("slides") or {})
        cases = f"; cases: {summary_lines(values['cases'])}" if values.get("cases") else ""
        yield f"run {run.run_id} ({values.get('tool')}) {run.status}{why}: {when}; slides: {slides}{cases}"


def unfinished_lines(runs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a line for each run elsewhere that has not ended, with the slides or cases that it takes."""
    for run, stems in runs.items():
        yield f"{run}: {_named(stems)}"
