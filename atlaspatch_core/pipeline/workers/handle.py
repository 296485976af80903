"""A worker as its employer sees it, and the slides that it has in hand."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.shares import FLUSH, PatchShare
from atlaspatch_core.pipeline.workers.worker import WorkerTask
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status


@dataclass(frozen=True, slots=True)
class OpenSlide:
    """A slide, and the steps that nobody has told of."""

    source: SlideSource
    steps: list[OutputKey]
    tried_in: int | None = None
    """Slot of the worker that died while it had this slide, and perhaps others, in hand; it is then tried alone."""
    first_death: str = ""
    """How that worker died, a clause."""

    def after_death(self, slot: int, how: str) -> "OpenSlide":
        """Return the slide as it is tried again: where it lies, for its local copy may be gone."""
        return replace(self, source=replace(self.source, local=None), tried_in=slot, first_death=how)


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """One worker, as its employer sees it."""

    task: WorkerTask
    slot: int
    """Place of its device among those of the call: a worker that takes the place of a dead one has the same."""
    process: SpawnProcess
    connection: Connection
    reading: str = ""
    """Stem of the slide that it reads."""
    open: dict[str, OpenSlide] = field(default_factory=dict)
    """Stem to a slide of which not all is told."""
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Stem to patches done and in all."""
    share: PatchShare | None = None
    """Patches of another worker's slide that it encodes."""
    has_begun: bool = False
    """Whether it ever asked for a slide."""
    isolated: bool = False
    """Whether it has a suspect, and takes no other slide."""
    is_asked: bool = False
    """Whether it was asked for patches, and did not answer yet."""
    is_flushed: bool = False
    """Whether it was told that no slide comes for now."""
    fault: str = ""
    """What is wrong with its device, in a sentence."""

    @property
    def kind(self) -> str:
        """What workers must have in common to share a slide: devices of one kind compute in one precision."""
        return self.task.device.partition(":")[0]

    def send(self, message: Any) -> None:
        """Send a message; a worker that died meanwhile is noticed where it is heard."""
        with suppress(OSError):
            self.connection.send(message)

    def send_slide(self, slide: OpenSlide) -> None:
        """Send a slide."""
        self.reading, self.is_flushed = slide.source.stem, False
        self.open[slide.source.stem] = slide
        self.send(slide.source)

    def send_share(self, share: PatchShare) -> None:
        """Send patches of a slide that another worker has."""
        self.share, self.is_flushed = share, False
        self.send(share)

    def flush(self) -> None:
        """Say, once, that no slide comes for now."""
        if not self.is_flushed:
            self.is_flushed = True
            self.send(FLUSH)

    def note_outcome(self, outcome: Outcome) -> bool:
        """Take note that a step is told of; return whether it was not yet."""
        slide = self.open.get(outcome.stem)
        if slide is None or outcome.step not in slide.steps:
            return False
        slide.steps.remove(outcome.step)
        if not slide.steps:
            del self.open[outcome.stem]
            self.progress.pop(outcome.stem, None)
            self.isolated = self.isolated and bool(self.open)
        return True


def worker_death(slide: OpenSlide, device: str, how: str) -> Iterator[Outcome]:
    """Yield the failure of a slide that its worker died of: of its first open step; the others are skipped."""
    stem, steps = slide.source.stem, slide.steps
    before = f", as another did before ({slide.first_death})" if slide.first_death else ""
    why = (
        f"{stem}: the worker on {device} died with {how} while it had this slide in hand{before}; "
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
