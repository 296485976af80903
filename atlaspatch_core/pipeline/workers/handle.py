"""A worker as its employer sees it, and the slides that it has in hand."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.workers.worker import WorkerTask
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status


@dataclass(frozen=True, slots=True)
class OpenSlide:
    """A slide, and the steps that nobody has told of."""

    source: SlideSource
    steps: list[OutputKey]


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker, as its employer sees it."""

    task: WorkerTask
    process: SpawnProcess
    connection: Connection
    reading: str = ""
    """Stem of the slide that it reads."""
    open: dict[str, OpenSlide] = field(default_factory=dict)
    """Stem to a slide of which not all is told."""
    slides_given: int = 0
    isolated: bool = False
    """Whether it has a suspect, and takes no other slide."""

    def send_slide(self, slide: OpenSlide | None) -> None:
        """Send a slide, or word that there is none; a worker that died meanwhile is noticed where it is heard."""
        if slide:
            self.reading, self.slides_given = slide.source.stem, self.slides_given + 1
            self.open[slide.source.stem] = slide
        with suppress(OSError):
            self.connection.send(slide.source if slide else None)

    def note_outcome(self, outcome: Outcome) -> bool:
        """Take note that a step is told of; return whether it was not yet."""
        slide = self.open.get(outcome.stem)
        if slide is None or outcome.step not in slide.steps:
            return False
        slide.steps.remove(outcome.step)
        if not slide.steps:
            del self.open[outcome.stem]
        return True


def worker_death(stem: str, steps: Sequence[OutputKey], device: str, how: str) -> Iterator[Outcome]:
    """Yield the failure of a slide that its worker died of: of its first open step; the others are skipped."""
    why = (
        f"{stem}: the worker on {device} died with {how} while it had this slide in hand; "
        "if memory was short, take fewer workers or smaller batches"
    )
    for number, step in enumerate(steps):
        fate = Status.SKIPPED if number else Status.FAILED
        yield Outcome(stem, step, fate, why=f"{steps[0]} failed" if number else why, transient=not number)


def how_ended(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
