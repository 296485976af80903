"""Trying again, but only the slides that failed for a reason that may pass, and only so often."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from atlaspatch_assets.defs.slides.run_slides import RunSlides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status

Process = Callable[[Sequence[SlideSource]], Iterable[Outcome]]
"""Takes slides through the steps of a run."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often and how soon a slide is tried again whose storage was gone or whose memory was short."""

    retries: int
    """Attempts after the first."""
    seconds: float
    """Pause before the second attempt; each further one is twice as long."""
    log: logging.Logger
    wait: Callable[[float], None] = time.sleep

    def outcomes(self, sources: Sequence[SlideSource], process: Process) -> Iterator[Outcome]:
        """Yield each outcome once: a failure that may pass only after the last attempt, and nothing of it before."""
        yielded: set[tuple[str, OutputKey]] = set()
        for number in range(self.retries + 1):
            failed: dict[str, str] = {}
            for outcome in process(sources):
                if number < self.retries and _is_put_off(outcome, failed):
                    failed.setdefault(outcome.stem, outcome.why)
                elif outcome.status is Status.FAILED or (outcome.stem, outcome.step) not in yielded:
                    yielded.add((outcome.stem, outcome.step))
                    yield outcome
            if not failed:
                return
            self._pause(number, failed)
            sources = [source for source in sources if source.stem in failed]

    def until_seen(self, find: Callable[[], RunSlides]) -> RunSlides:
        """Return the slides of a run; while folders cannot be looked into, they are looked for as often as tried."""
        batch = find()
        for number in range(self.retries):
            if not batch.unseen:
                break
            self._pause(number, dict.fromkeys(batch.unseen, batch.why_unseen))
            batch = find()
        return batch

    def _pause(self, number: int, failed: dict[str, str]) -> None:
        seconds = self.seconds * 2**number
        for stem, why in failed.items():
            self.log.warning("%s: tried again in %.0f s: %s", stem, seconds, why)
        self.wait(seconds)


def _is_put_off(outcome: Outcome, failed: Iterable[str]) -> bool:
    """Tell whether an outcome is a failure that may pass, or was skipped because of one."""
    return outcome.transient or (outcome.stem in failed and outcome.status is Status.SKIPPED)
