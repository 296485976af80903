"""How far a run is: a line of its log for each slide, and a tag on its page, every few seconds.

Each line is an event that Dagster stores, beside the materialisations that say the same: one a slide is enough.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from atlaspatch_core.validity.outcome import Outcome, Status

PROGRESS_TAG = "atlaspatch/progress"
"""Tag of a run that says how far it is."""
SECONDS_BETWEEN_LINES = 10.0


@dataclass(slots=True)
class Progress:
    """Counts what a run has done, and shows it."""

    log: logging.Logger
    total: int
    """Slides of the run."""
    steps: int
    """Outcomes that every slide has."""
    show: Callable[[str], None] = lambda _: None
    """Gets each line about the whole run, too."""
    clock: Callable[[], float] = monotonic
    done: int = 0
    patches: int = 0
    _outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    """Of each slide under way."""
    _of_slide: dict[str, int] = field(default_factory=dict)
    """Patches of each slide under way."""
    _since: float = 0.0
    _line: float = 0.0
    """When the last line about the run was written."""

    def __post_init__(self) -> None:
        """Start the clock."""
        self._since = self._line = self.clock()

    def watch(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Pass on outcomes; those of several slides may come mixed."""
        for outcome in outcomes:
            self._log_failure(outcome)
            yield outcome
            of_slide = self._outcomes.setdefault(outcome.stem, [])
            of_slide.append(outcome)
            if len(of_slide) == self.steps:
                self._end_slide(outcome.stem)

    def watch_lost(self, failures: Iterable[Outcome]) -> Iterator[Outcome]:
        """Pass on failures of slides that have no other outcome."""
        for failure in failures:
            self._log_failure(failure)
            yield failure
            self._end_slide(failure.stem)

    def on_patches(self, stem: str, done: int, total: int) -> None:  # noqa: ARG002
        """Take note of how far the patches of a slide are."""
        self.patches += max(0, done - self._of_slide.get(stem, 0))
        self._of_slide[stem] = done
        self._report(False)

    @property
    def text(self) -> str:
        """How far the run is, in words."""
        seconds = max(self.clock() - self._since, 1e-9)
        parts = [f"{self.done} of {self.total} slides"]
        parts += [f"{self.patches / seconds:.0f} patches/s"] if self.patches else []
        seconds_left = seconds / self.done * (self.total - self.done) if self.done else 0
        return ", ".join([*parts, *([f"about {format_duration(seconds_left)} left"] if seconds_left else [])])

    def _end_slide(self, stem: str) -> None:
        self.done += 1
        self._of_slide.pop(stem, None)
        outcomes = self._outcomes.pop(stem, ())
        if words := [_words(outcome) for outcome in outcomes if outcome.status is not Status.FAILED]:
            self.log.info("%s: %s", stem, " · ".join(words))
        self._report(self.done == self.total)

    def _report(self, at_once: bool) -> None:
        now = self.clock()
        if at_once or now - self._line >= SECONDS_BETWEEN_LINES:
            self._line = now
            self.log.info(self.text)
            self.show(self.text)

    def _log_failure(self, outcome: Outcome) -> None:
        if outcome.status is Status.FAILED:
            self.log.warning("%s failed: %s", outcome.step, outcome.why)


def _words(outcome: Outcome) -> str:
    return f"{outcome.step} {outcome.status}{f': {outcome.why}' if outcome.why else ''}"


def format_duration(seconds: float) -> str:
    """Return seconds, minutes or hours, as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
