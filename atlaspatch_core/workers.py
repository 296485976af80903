"""Slides in, outcomes out, by several processes: one a device, each with its models loaded once.

Every process asks for its next slide when it is ready for it, so that a fast one takes more and a slow slide holds up
nobody else. A process that dies, by a library that crashes or for lack of memory, fails the slides that it had in hand,
and another takes its place.
"""

import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from logging import LogRecord, getLogger
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread, current_thread, main_thread
from typing import Self

from atlaspatch_core.discovery import SlideSource
from atlaspatch_core.errors import AtlasPatchError, WorkerDied
from atlaspatch_core.outcome import Outcome, Status, Step
from atlaspatch_core.worker import Patches, Task, Wants, work

SECONDS_TO_STOP = 30.0
"""A worker that is told to stop has so long to finish what it is writing."""


def process_on(
    tasks: Sequence[Task],
    sources: Iterable[SlideSource],
    *,
    release: Callable[[str], None] = lambda _: None,
    on_patches: Callable[[str, int, int], None] | None = None,
) -> Generator[Outcome]:
    """Yield the outcomes of ``process``, in any order of the slides, from one process for each task.

    ``release`` is called with the stem of every slide that no worker reads any more. Closing this ends the workers, and
    waits until what they are writing is whole. Raises what a worker could not begin for, and WorkerDied when one died
    before it took a slide.
    """
    with Crew(tasks, sources, release, on_patches or (lambda *_: None)) as crew:
        yield from crew.outcomes()


@dataclass(slots=True, eq=False)
class Hand:
    """One worker, as its employer sees it."""

    task: Task
    process: SpawnProcess
    line: Connection
    reading: str = ""
    """Stem of the slide that it reads."""
    open: dict[str, list[Step]] = field(default_factory=dict)
    """Stem to the steps that it has not told of."""
    taken: int = 0

    def give(self, source: SlideSource | None) -> None:
        """Send a slide, or word that there is none; a worker that died meanwhile is noticed where it is heard."""
        if source:
            self.reading, self.taken = source.stem, self.taken + 1
            self.open[source.stem] = list(self.task.steps)
        with suppress(OSError):
            self.line.send(source)

    def note(self, outcome: Outcome) -> None:
        """Take note that a step is told of."""
        steps = self.open.get(outcome.stem, [])
        steps[:] = [step for step in steps if step != outcome.step]
        if not steps:
            self.open.pop(outcome.stem, None)


class Crew:
    """Owns the processes."""

    def __init__(
        self,
        tasks: Sequence[Task],
        sources: Iterable[SlideSource],
        release: Callable[[str], None],
        on_patches: Callable[[str, int, int], None],
    ) -> None:
        self._tasks, self._release, self._on_patches = tasks, release, on_patches
        self._context = get_context("spawn")
        self._hands: list[Hand] = []
        self._waiting: list[Hand] = []
        self._feed, feeding = self._context.Pipe(duplex=False)
        self._no_more = False
        self._feeder = Thread(target=_feed, args=(sources, feeding), name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._feeder.start()
        for task in self._tasks:
            self._hire(task)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        for hand in self._hands:
            hand.line.close()
            hand.process.terminate()
        for hand in self._hands:
            hand.process.join(SECONDS_TO_STOP)
            hand.process.kill()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what the workers tell, until all have ended."""
        while self._hands:
            listening = [self._feed] if self._waiting and not self._no_more else []
            for ready in wait([*listening, *(hand.line for hand in self._hands)]):
                if ready is self._feed:
                    self._hand_out()
                else:
                    yield from self._hear(next(hand for hand in self._hands if hand.line is ready))

    def _hire(self, task: Task) -> None:
        ours, theirs = self._context.Pipe()
        worker = self._context.Process(target=work, args=(task, theirs), name=f"worker {task.device}", daemon=True)
        with _without_interrupts():
            worker.start()
        theirs.close()
        self._hands.append(Hand(task, worker, ours))

    def _hand_out(self) -> None:
        """Give the next slide to the worker that waited longest."""
        try:
            source = self._feed.recv()
        except EOFError:
            self._no_more = True
            for hand in self._waiting:
                hand.give(None)
            self._waiting.clear()
        else:
            if isinstance(source, BaseException):
                raise source
            self._waiting.pop(0).give(source)

    def _hear(self, hand: Hand) -> Iterator[Outcome]:
        try:
            message = hand.line.recv()
        except (EOFError, OSError):
            yield from self._gone(hand)
            return
        if isinstance(message, Wants):
            self._ready(hand)
        elif isinstance(message, Patches):
            self._on_patches(message.stem, message.done, message.total)
        elif isinstance(message, LogRecord):
            getLogger(message.name).handle(message)
        elif isinstance(message, AtlasPatchError):
            raise message
        else:
            hand.note(message)
            yield message

    def _ready(self, hand: Hand) -> None:
        """Take back what a worker has read, and let it wait for the next slide."""
        self._take_back(hand)
        if self._no_more:
            hand.give(None)
        else:
            self._waiting.append(hand)

    def _take_back(self, hand: Hand) -> None:
        if hand.reading:
            self._release(hand.reading)
            hand.reading = ""

    def _gone(self, hand: Hand) -> Iterator[Outcome]:
        """Yield what becomes of the slides of a worker that ended; hire another where it died."""
        hand.process.join()
        hand.line.close()
        self._hands.remove(hand)
        self._waiting = [other for other in self._waiting if other is not hand]
        self._take_back(hand)
        if hand.process.exitcode == 0:
            return
        how = _how(hand.process.exitcode)
        if not hand.taken:
            raise WorkerDied(f"the worker on {hand.task.device} ended with {how} before it took a slide; see above why")
        for stem, steps in hand.open.items():
            yield from _died(stem, steps, hand.task.device, how)
        self._hire(hand.task)


def _feed(sources: Iterable[SlideSource], feeding: Connection) -> None:
    """Put the slides into a pipe, which can be waited for together with what workers say."""
    with suppress(OSError), feeding:
        try:
            for source in sources:
                feeding.send(source)
        except AtlasPatchError as error:
            feeding.send(error)


def _died(stem: str, steps: Sequence[Step], device: str, how: str) -> Iterator[Outcome]:
    why = (
        f"{stem}: the worker on {device} died with {how} while it had this slide in hand; "
        "if memory was short, take fewer workers or smaller batches"
    )
    for number, step in enumerate(steps):
        fate = Status.SKIPPED if number else Status.FAILED
        yield Outcome(stem, step, fate, why=f"{steps[0]} failed" if number else why, transient=not number)


def _how(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a process that is started here not be interrupted by Ctrl-C: we are, and end it."""
    if not hasattr(signal, "pthread_sigmask") or current_thread() is not main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
