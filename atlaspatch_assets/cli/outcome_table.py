"""What ``atlaspatch materialize`` prints: a table per slide, and what it comes to."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from atlaspatch_assets.cli.local_run import OutcomeRow
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.cli.logs import note
from atlaspatch_core.cli.run_summary import SummaryOutput, path_text
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import AskedToEnd
from atlaspatch_core.validity.outcome import OutputKey, Status
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.wording import format_count

STYLES: Mapping[Status, str] = {
    Status.COMPUTED: "green",
    Status.REUSED: "dim",
    Status.RESTAMPED: "cyan",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}

WIDTH_OF_FILES = 120
"""Columns where the output is no terminal."""


@dataclass(slots=True)
class Tables:
    """Collects rows and prints a slide's table once the next slide begins, or at the end."""

    console: Console
    rows: list[OutcomeRow] = field(default_factory=list)
    """Of the slide that is under way."""
    counts: Counter[Status] = field(default_factory=Counter)
    """Results by fate, over all slides."""
    failed: dict[str, str] = field(default_factory=dict)
    """Stem to reason."""
    warned: set[str] = field(default_factory=set)
    """Slides with warnings."""
    quiet: bool = False
    """Whether slides that failed or have warnings are shown alone."""
    keeps_rows: bool = False
    """Whether all rows are kept, for a summary."""
    rows_by_stem: dict[str, list[OutcomeRow]] = field(default_factory=dict)

    def add(self, row: OutcomeRow) -> None:
        """Take a row."""
        if self.rows and self.rows[0].stem != row.stem:
            self.flush()
        self.rows.append(row)
        if self.keeps_rows:
            self.rows_by_stem.setdefault(row.stem, []).append(row)
        self.counts[row.status] += 1
        if row.warnings:
            self.warned.add(row.stem)
        if row.status is Status.FAILED:
            self.failed.setdefault(row.stem, row.why)

    def flush(self) -> None:
        """Print the table of the slide under way."""
        if self.rows:
            table, stem = slide_table(self.rows), self.rows[0].stem
            if not self.quiet or stem in self.failed or stem in self.warned:
                self.console.print(table)
            note(f"{stem}: {', '.join(f'{row.asset} {row.status} {row.why}'.strip() for row in self.rows)}")
        self.rows = []

    @contextmanager
    def shown_where_interrupted(self) -> Iterator[None]:
        """Print the last table and what failed where Ctrl-C or a signal ends the work."""
        try:
            yield
        except (KeyboardInterrupt, AskedToEnd):
            self._show_rest()
            raise

    def _show_rest(self, crashes: Sequence[str] = ()) -> None:
        self.flush()
        lines = [
            *(f"FAILED {stem}: {why}" for stem, why in self.failed.items()),
            *(f"FAILED: {crash}" for crash in crashes),
        ]
        for line in lines:
            self.console.print(line, style="bold red", markup=False, soft_wrap=True)
            note(line)

    def conclude(self, crashes: Sequence[str], slides: int) -> None:
        """Print the last table, a line for everything that went wrong, and the sum."""
        self._show_rest(crashes)
        words = describe_counts(self.counts, slides, len(self.warned))
        note(words)
        if not self.quiet:
            self.console.print(words, soft_wrap=True)


def make_console(*, to_stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, and wide enough for a table where there is none."""
    console = Console(highlight=False, stderr=to_stderr)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_FILES, stderr=to_stderr)


def summary_outputs(
    project: "Project", rows_by_stem: Mapping[str, Sequence[OutcomeRow]]
) -> dict[str, list[SummaryOutput]]:
    """Return stem to what became of its outputs, as other commands say it."""
    names = ProjectNames.of(project)
    steps = {names.asset_key(stage.step).to_user_string(): stage.step for stage in make_recipe(project).stages}
    return {
        stem: [_summary_output(steps[row.asset], row) for row in rows if row.asset in steps]
        for stem, rows in rows_by_stem.items()
    }


def _summary_output(step: OutputKey, row: OutcomeRow) -> SummaryOutput:
    return SummaryOutput.of_step(
        step,
        str(row.status),
        why=row.why,
        fingerprint=row.fingerprint,
        seconds=round(row.seconds, 3),
        path=path_text(row.path),
        numbers=row.numbers,
        warnings=(row.warnings,) if row.warnings else (),
    )


def slide_table(rows: Sequence[OutcomeRow]) -> Table:
    """Return what was done for one slide: asset and file, fate and why, numbers, seconds."""
    table = Table(title=rows[0].stem, title_justify="left", title_style="bold", show_lines=True)
    table.add_column("asset, file", overflow="fold")
    table.add_column("what was done", overflow="fold", max_width=30)
    table.add_column("numbers", overflow="fold")
    table.add_column("seconds", justify="right")
    for row in rows:
        table.add_row(
            _asset_text(row), _done_text(row), "\n".join(map(_number_text, row.numbers.items())), f"{row.seconds:.2f}"
        )
    return table


def describe_counts(counts: Mapping[Status, int], slides: int, warned: int = 0) -> str:
    """Return what the tables come to."""
    computed, reused, failed = (counts[status] for status in (Status.COMPUTED, Status.REUSED, Status.FAILED))
    words = f"{format_count(slides, 'slide')}: {computed} results computed, {reused} reused"
    odd = f" {format_count(warned, 'slide')} with warnings." if warned else ""
    if reused and not computed and not failed:
        return f"{words}. Everything was reused: it was there already, and still valid.{odd}"
    return f"{words}, {failed} failed.{odd}"


def _asset_text(row: OutcomeRow) -> Text:
    return Text(row.asset) + (Text(f"\n{relative_path(row.path)}", "dim") if row.path else Text())


def _done_text(row: OutcomeRow) -> Text:
    why, warning = (f"\n{words}" if words else "" for words in (row.why, row.warnings))
    return Text(row.status, STYLES[row.status]) + Text(why) + Text(warning, "yellow")


def _number_text(item: tuple[str, int | float]) -> str:
    name, value = item
    return f"{name.replace('_', ' ')} {value:.5g}" if isinstance(value, float) else f"{name.replace('_', ' ')} {value}"


def relative_path(path: Path) -> str:
    """Return the path from the working directory, where the file lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
