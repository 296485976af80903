"""What was made outside Dagster, told to Dagster: runless events, equal to those of a run."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets.lib.events import outcome_events
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.validity.outcome import OF_CASES, Outcome
from atlaspatch_core.validity.recipe import Recipe

log = logging.getLogger(__name__)


def report_outcomes(outcomes: Iterable[Outcome], open_failures: OpenFailures) -> None:
    """Record outcomes as they come; slides and cases that the instance does not know become partitions.

    ``open_failures`` is what is known of earlier verdicts, with the instance and the names of the project.
    """
    names, registered = open_failures.names, set[tuple[str, str]]()
    for outcome in outcomes:
        kind = names.cases if outcome.step.kind == OF_CASES else names.slides
        if (kind.noun, outcome.stem) not in registered:
            kind.register(open_failures.instance, [outcome.stem])
            registered.add((kind.noun, outcome.stem))
        for event in outcome_events(outcome, open_failures):
            open_failures.report(event)


@dataclass(slots=True)
class Reporter:
    """Tells the instance in ``DAGSTER_HOME`` of one outcome of a command's project after the other.

    Slides matter more than their events: when the instance cannot be reached, one warning says so and no more is tried.
    """

    _open_failures: OpenFailures | None = None
    _failed: bool = False

    def __call__(self, recipe: Recipe, outcome: Outcome) -> None:
        """Record an outcome."""
        if self._failed:
            return
        try:
            report_outcomes([outcome], self._open(ProjectNames.of(recipe.project)))
        except Exception as error:  # a database may raise anything, and slides matter more than their events
            self._failed = True
            log.warning("Dagster is told no more of this run: %s", error)

    def _open(self, names: ProjectNames) -> OpenFailures:
        if self._open_failures is None:
            dagster_home()
            self._open_failures = OpenFailures(names, dg.DagsterInstance.get())
        return self._open_failures
