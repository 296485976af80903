"""Bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.progress import TaskID
from rich.text import Text

from atlaspatch_core.cli.logs import note
from atlaspatch_core.cli.printing import fate_of, reason, slide_line, step_line, warning_line
from atlaspatch_core.cli.progress import lines_above, make_bars, print_line
from atlaspatch_core.errors import AskedToEnd
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.wording import format_count

SECONDS_BETWEEN_LINES = 30.0
"""Where there is no terminal, long encoding says this often how far it is."""


class Display:
    """Owns the bars of one run, on stderr; lines about slides go to stdout as each slide is finished."""

    def __init__(
        self,
        slides: int,
        steps: int,
        *,
        verbose: bool = False,
        quiet: bool = False,
        to_stderr: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        """``slides`` is how many there are, ``steps`` how many outcomes a slide has.

        ``quiet`` prints slides that failed or have warnings alone; ``to_stderr`` leaves stdout to others.
        """
        self._bars = make_bars(quiet=quiet)
        self._lines = lines_above(self._bars, to_stderr=to_stderr)
        self._quiet = quiet
        self._slides = self._bars.add_task("slides", total=slides)
        self._total = slides
        self._patches: TaskID | None = None
        self._steps = steps
        self._verbose = verbose
        self._clock = clock
        self._last_line = clock()
        self._printed: set[str] = set()
        self._slide_by_reason: dict[str, str] = {}
        """Why steps failed, and the slide of which that was said first."""
        self.outcomes: dict[str, list[Outcome]] = {}
        """Stem to its outcomes so far."""

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; print the slide's line when it was the last one, or nothing can follow."""
        of_slide = self.outcomes.setdefault(outcome.stem, [])
        of_slide.append(outcome)
        line = step_line(outcome)
        if self._verbose:
            self.say(line)
        else:
            note(str(line))
        stopped = outcome.step.kind == "slide" and outcome.status is Status.FAILED
        if stopped or len(of_slide) == self._steps:
            self._print_slide(outcome.stem)

    def patches(self, stem: str, done: int, total: int) -> None:
        """Show how far the encoding of a slide's patches is."""
        if self._bars.disable:
            self._patches_line(stem, done, total)
            return
        if self._patches is None:
            self._patches = self._bars.add_task("")
        self._bars.update(self._patches, description=f"patches of {stem}", completed=done, total=total)

    def say(self, line: Text | str) -> None:
        """Print a line, above the bars; never folded."""
        print_line(self._lines, line)
        note(str(line))

    def say_unless_quiet(self, line: Text | str) -> None:
        """Print a line that needs nobody's attention."""
        if not self._quiet:
            self.say(line)

    def _print_slide(self, stem: str) -> None:
        if stem not in self._printed:
            self._printed.add(stem)
            of_slide = self.outcomes[stem]
            warning = warning_line(of_slide)
            is_urgent = warning or fate_of(of_slide) is Status.FAILED
            (self.say if is_urgent else self.say_unless_quiet)(slide_line(of_slide, self._slide_by_reason))
            for outcome in of_slide:
                if outcome.status is Status.FAILED:
                    self._slide_by_reason.setdefault(reason(outcome), stem)
            if warning:
                self.say(warning)
            self._bars.advance(self._slides)

    def _patches_line(self, stem: str, done: int, total: int) -> None:
        if not self._quiet and self._clock() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = self._clock()
            print(f"{stem}: {done} of {total} patches encoded", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        if error is None:
            for stem in self.outcomes:
                self._print_slide(stem)
        elif isinstance(error, KeyboardInterrupt | AskedToEnd):
            error.add_note(self._print_begun())

    def _print_begun(self) -> str:
        """Print what was done of slides that are not done; return how many are, and how many were begun."""
        begun = [stem for stem in self.outcomes if stem not in self._printed]
        for stem in begun:
            self.say(slide_line(self.outcomes[stem]) + Text(" · interrupted", "yellow"))
        also = f", {format_count(len(begun), 'slide')} in part" if begun else ""
        return f"{len(self._printed)} of {format_count(self._total, 'slide')} done{also}"
