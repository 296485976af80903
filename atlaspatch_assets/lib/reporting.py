"""What was made outside Dagster, told to Dagster: runless events, equal to those of a run."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets.lib.events import events
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.validity.outcome import Outcome

log = logging.getLogger(__name__)


def report(
    outcomes: Iterable[Outcome], instance: dg.DagsterInstance, open_failures: OpenFailures | None = None
) -> None:
    """Record outcomes as they come; slides that the instance does not know become partitions.

    ``open_failures`` is what is known of earlier verdicts, for callers with many outcomes.
    """
    open_failures = open_failures or OpenFailures(instance)
    known: set[str] = set()
    for outcome in outcomes:
        if outcome.stem not in known:
            SLIDES.register(instance, [outcome.stem])
            known.add(outcome.stem)
        for event in events(outcome, open_failures):
            open_failures.report(event)


@dataclass(slots=True)
class Reporter:
    """Tells the instance in ``DAGSTER_HOME`` of one outcome after the other.

    Slides matter more than their events: when the instance cannot be reached, one warning says so and no more is tried.
    """

    _open_failures: OpenFailures | None = None
    _failed: bool = False

    def __call__(self, outcome: Outcome) -> None:
        """Record an outcome."""
        if self._failed:
            return
        try:
            open_failures = self._open()
            report([outcome], open_failures.instance, open_failures)
        except Exception as error:  # a database may raise anything, and slides matter more than their events
            self._failed = True
            log.warning("Dagster is told no more of this run: %s", error)

    def _open(self) -> OpenFailures:
        if self._open_failures is None:
            dagster_home()
            self._open_failures = OpenFailures(dg.DagsterInstance.get())
        return self._open_failures
