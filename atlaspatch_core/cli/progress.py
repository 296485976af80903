"""Bars on a terminal for work of many like parts, and lines above them; elsewhere lines alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.text import Text


def make_bars(*, quiet: bool = False) -> "Progress":
    """Return bars on stderr that go away at the end; ``quiet`` ones are never drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def lines_above(bars: "Progress", *, to_stderr: bool = False) -> "Console":
    """Return what prints to stdout, or ``to_stderr``: above the bars where both are on a terminal."""
    from rich.console import Console

    on_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    return Console(highlight=False, stderr=to_stderr) if bars.disable or not on_terminal else bars.console


def print_line(lines: "Console", line: "Text | str") -> None:
    """Print a line as it is, never folded."""
    lines.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)


@dataclass(frozen=True, slots=True)
class ProgressBar:
    """One bar."""

    bars: "Progress"
    task: "TaskID"
    lines: "Console"

    def advance(self) -> None:
        """Count one part as done."""
        self.bars.advance(self.task)

    def say(self, line: "Text | str") -> None:
        """Print a line to stdout."""
        print_line(self.lines, line)


@contextmanager
def progress(word: str, total: int) -> Iterator[ProgressBar]:
    """Give a bar for ``total`` parts."""
    bars = make_bars()
    lines = lines_above(bars)
    with bars:
        yield ProgressBar(bars, bars.add_task(word, total=total), lines)
