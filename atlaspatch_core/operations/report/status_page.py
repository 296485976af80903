"""The status of a folder as one page: which output of which slide is there, and why not; it opens from disk."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from atlaspatch_core import __version__
from atlaspatch_core.operations.report.rendering import (
    MOST_EMBEDDED,
    Coverage,
    count_states,
    current_time,
    picture_url,
    render_template,
    write_page,
)
from atlaspatch_core.operations.tracking.project_status import ProjectStatus
from atlaspatch_core.operations.tracking.runs import RUNNING, RunFile
from atlaspatch_core.operations.tracking.summary import summary_lines
from atlaspatch_core.operations.tracking.unverified import UnverifiedResult
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.states import State, Validity

MEANINGS = {
    State.FRESH: "may be used",
    State.STALE: "is not what is asked for now",
    State.MISSING: "was not made",
    State.FAILED: "could not be made",
}
ORDER = {State.FAILED: 0, State.STALE: 1, State.MISSING: 2, State.FRESH: 3}
"""How a column of states sorts: what needs somebody first."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A slide on the page."""

    stem: str
    outputs: tuple[Validity, ...]
    picture: str
    """URL or data URL, empty where there is no picture."""
    warnings: tuple[str, ...] = ()
    """What is odd about the slide."""
    unverified: tuple[UnverifiedResult, ...] = ()
    """What was adopted without proof and is no output of the project."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in words."""

    run_id: str
    status: str
    kind: str
    """``good``, ``busy`` or ``bad``."""
    symbol: str
    tool: str
    started: str
    ended: str
    slides: str
    cases: str
    """Empty where the run had none."""
    error: str


@dataclass(frozen=True, slots=True)
class StatusPage:
    """What the template shows."""

    output: Path
    made_at: str
    version: str
    runs: tuple[RunSummary, ...]
    coverage: Coverage
    """Of every step, how many slides are in which state."""
    rows: tuple[StatusRow, ...]
    case_coverage: Coverage
    """Of every embedding of cases, how many cases are in which state."""
    cases: tuple[StatusRow, ...]
    """Without pictures."""
    left_out: tuple[str, ...] = ()
    """Why files were left out, each in one sentence."""
    unverified: tuple[tuple[OutputKey, str, int], ...] = ()
    """What was adopted without proof and is no output of the project: output, why, and of how many slides."""


def write_status_page(status: ProjectStatus, path: Path) -> dict[str, int]:
    """Write the page; return the numbers of slides, of cases if there are any, and of outputs in each state.

    Raises OSError, UnwritableOutput.
    """
    page = status_page(status, path.absolute().parent)
    write_page(path, render_status_page(page))
    states = Counter(output.state for output in (*status.outputs, *status.cases))
    cases = {"cases": len(page.cases)} if page.cases else {}
    unverified = {"results unverified": len(status.unverified)} if status.unverified else {}
    return {"slides": len(page.rows)} | cases | {f"outputs {state}": states[state] for state in State} | unverified


def status_page(status: ProjectStatus, folder: Path) -> StatusPage:
    """Return the page; ``folder`` is where it will lie, and thumbnails are linked from there."""
    store = Store(status.recipe.project.output)
    slides = _by_stem(status.outputs)
    pictures = dict(_pictures(list(slides), store, folder))
    unverified = {stem: tuple(of) for stem, of in groupby(status.unverified, lambda result: result.stem)}
    return StatusPage(
        store.output.resolve(),
        current_time(),
        __version__,
        tuple(map(_run, status.runs)),
        count_states((stage.step for stage in status.recipe.stages), status.outputs),
        tuple(
            StatusRow(stem, of, pictures.get(stem, ""), status.warnings.get(stem, ()), unverified.get(stem, ()))
            for stem, of in slides.items()
        ),
        count_states((stage.step for stage in status.recipe.cases), status.cases),
        tuple(StatusRow(case_id, outputs, "") for case_id, outputs in _by_stem(status.cases).items()),
        status.left_out,
        _counts_of_unverified(status.unverified),
    )


def _counts_of_unverified(results: Iterable[UnverifiedResult]) -> tuple[tuple[OutputKey, str, int], ...]:
    counts = Counter((result.step, result.why) for result in results)
    return tuple((step, why, count) for (step, why), count in counts.items())


def _by_stem(validities: Iterable[Validity]) -> dict[str, tuple[Validity, ...]]:
    return {stem: tuple(outputs) for stem, outputs in groupby(validities, lambda validity: validity.stem)}


def _pictures(stems: list[str], store: Store, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield stem and URL of the thumbnails there are."""
    embed = len(stems) <= MOST_EMBEDDED
    thumbnails = list_files(store.thumbnail("any").parent, ".jpg")
    for stem in stems:
        small = store.small_picture(stem, "mask")
        if embed and small.is_file():
            yield stem, picture_url(small, folder, embed=True)
        elif stem in thumbnails:
            yield stem, picture_url(store.thumbnail(stem), folder, embed=False)


def _run(run: RunFile) -> RunSummary:
    values = run.values
    failed = any((values.get(of) or {}).get("failed") for of in ("slides", "cases"))
    good = run.status == "completed" and not failed
    kind, symbol = ("good", "✓") if good else ("busy", "▶") if run.status == RUNNING else ("bad", "✗")
    status = f"{run.status}, with failures" if run.status == "completed" and failed else run.status
    return RunSummary(
        run.run_id,
        status,
        kind,
        symbol,
        tool=str(values.get("tool") or ""),
        started=str(values.get("started_at") or ""),
        ended=str(values.get("finished_at") or ""),
        slides=summary_lines(values.get("slides") or {}),
        cases=summary_lines(values["cases"]) if values.get("cases") else "",
        error=str(values.get("error") or ""),
    )


def render_status_page(page: StatusPage) -> str:
    """Return the page as HTML that needs nothing beside it, but for linked thumbnails."""
    return render_template("status.html", page=page, meanings=MEANINGS, order=ORDER)
