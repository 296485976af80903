"""Lines in the log of a run: how many slides are done, and how fast patches go."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from time import monotonic

from atlaspatch_core.outcome import Outcome, Status

SECONDS_BETWEEN_LINES = 10.0


@dataclass(slots=True)
class Progress:
    """Counts what a run has done, and logs it."""

    log: logging.Logger
    total: int
    """Slides of the run."""
    done: int = 0
    _stem: str = ""
    _first: tuple[float, int] = (0.0, 0)
    """When patches of the slide were first heard of, and how many were done then."""
    _line: float = 0.0
    """When the last line about patches was written."""

    def watch(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Pass on outcomes, slide by slide, with a line for every slide that is done."""
        for stem, of_slide in groupby(outcomes, lambda outcome: outcome.stem):
            since = monotonic()
            for outcome in of_slide:
                self._note(outcome)
                yield outcome
            self.done += 1
            self.log.info("%d of %d slides done: %s in %.1f s", self.done, self.total, stem, monotonic() - since)

    def patches(self, stem: str, done: int, total: int) -> None:
        """Log how far a slide's patches are, every few seconds."""
        now = monotonic()
        if stem != self._stem:
            self._stem, self._first, self._line = stem, (now, done), now
        if now - self._line >= SECONDS_BETWEEN_LINES:
            since, before = self._first
            self._line = now
            self.log.info("%s: %d of %d patches, %.0f patches/s", stem, done, total, (done - before) / (now - since))

    def _note(self, outcome: Outcome) -> None:
        if outcome.status is Status.FAILED:
            self.log.warning("%s failed: %s", outcome.step, outcome.why)
        elif outcome.status is Status.SKIPPED:
            self.log.info("%s: %s skipped: %s", outcome.stem, outcome.step, outcome.why)
        else:
            why = f": {outcome.why}" if outcome.why else ""
            self.log.info("%s: %s %s%s", outcome.stem, outcome.step, outcome.status, why)
