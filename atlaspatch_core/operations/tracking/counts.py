"""What one run did, counted as it goes."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from atlaspatch_core.validity.outcome import Outcome, Status

MOST_ERRORS = 1000
"""Reasons that are remembered of a run; the state files have all of them."""
WORTH = (Status.REUSED, Status.COMPUTED, Status.FAILED)
"""What a slide is counted as: the last of these that any of its outputs is, as the last line of a run counts."""


@dataclass(slots=True)
class Counts:
    """Fates of the slides of a run and of their outputs, or of its cases and of theirs."""

    in_all: int = 0
    outputs: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Output to fate to the number of slides, or cases."""
    fates: dict[str, Status] = field(default_factory=dict)
    """Stem to the fate of the slide, or case_id to that of the case."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Slide or case, and output with the reason, the first of them."""
    failures: int = 0
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """Slide to what is odd about it."""

    def count_outcome(self, outcome: Outcome) -> None:
        """Count an outcome. A slide that failed is told once: what that stopped is not."""
        self.outputs[str(outcome.step)][outcome.status.value] += 1
        status = outcome.status if outcome.status in WORTH else Status.REUSED
        self.fates[outcome.stem] = max(self.fates.get(outcome.stem, status), status, key=WORTH.index)
        if outcome.warnings:
            self.warnings.setdefault(outcome.stem, []).extend(outcome.warnings)
        if outcome.status is Status.FAILED:
            self.failures += 1
            if len(self.errors) < MOST_ERRORS:
                self.errors.append((outcome.stem, f"{outcome.step}: {outcome.why.removeprefix(f'{outcome.stem}: ')}"))

    def totals(self) -> dict[str, int]:
        """Return how many slides, or cases, there are, how many were begun, and their fates."""
        fates = Counter(list(self.fates.values()))
        begun = {"total": self.in_all, "begun": fates.total()}
        warned = {"with_warnings": len(self.warnings)} if self.warnings else {}
        return begun | warned | {fate.value: fates[fate] for fate in (Status.COMPUTED, Status.REUSED, Status.FAILED)}
