"""Slides in, outcomes out, by several processes: one a device, each with its models loaded once.

Every process asks for its next slide when it is ready for it, so that a fast one takes more and a slow slide holds up
nobody else. A process may die, by a library that crashes or for lack of memory. Others take its place, and the slides
that it had in hand, each alone, so that only the guilty one fails.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from logging import LogRecord, getLogger
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Thread
from time import monotonic
from typing import Self

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError, WorkerDied
from atlaspatch_core.isolation.interrupts import without_interrupts
from atlaspatch_core.pipeline.crashes import note_clause
from atlaspatch_core.pipeline.workers.handle import OpenSlide, WorkerHandle, how_ended, worker_death
from atlaspatch_core.pipeline.workers.worker import NextSlideWanted, PatchProgress, WorkerTask, run_worker
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome

SECONDS_TO_STOP = 30.0
"""Workers that are told to stop have so long to finish what they are writing."""


def process_on(
    tasks: Sequence[WorkerTask],
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
    with WorkerPool(tasks, sources, release, on_patches or (lambda *_: None)) as pool:
        yield from pool.outcomes()


# ProcessPoolExecutor breaks all its futures when one worker dies, pins none to a device and cannot wait for a writer
# that is asked to stop; loky the same, so the processes are kept here.
class WorkerPool:
    """Owns the processes."""

    def __init__(
        self,
        tasks: Sequence[WorkerTask],
        sources: Iterable[SlideSource],
        release: Callable[[str], None],
        on_patches: Callable[[str, int, int], None],
    ) -> None:
        self._tasks, self._release, self._on_patches = tasks, release, on_patches
        self._context = get_context("spawn")
        self._handles: list[WorkerHandle] = []
        self._waiting: list[WorkerHandle] = []
        self._suspects: list[OpenSlide] = []
        """Slides that a worker had in hand when it died, together with others."""
        self._feed, feeding = self._context.Pipe(duplex=False)
        self._no_more = False
        self._feeder = Thread(target=_feed, args=(sources, feeding), name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._feeder.start()
        for task in self._tasks:
            self._spawn(task)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.close()
        for handle in self._handles:
            handle.connection.close()
            handle.process.terminate()
        end = monotonic() + SECONDS_TO_STOP
        for handle in self._handles:
            handle.process.join(max(0.0, end - monotonic()))
            handle.process.kill()
            handle.process.join()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what the workers tell, until all have ended."""
        while self._handles:
            listening = [self._feed] if self._waiting and not self._no_more else []
            for ready in wait([*listening, *(handle.connection for handle in self._handles)]):
                if ready is self._feed:
                    self._assign_next()
                else:
                    yield from self._receive(next(handle for handle in self._handles if handle.connection is ready))

    def _spawn(self, task: WorkerTask) -> None:
        ours, theirs = self._context.Pipe()
        worker = self._context.Process(
            target=run_worker, args=(task, theirs), name=f"worker {task.device}", daemon=True
        )
        with without_interrupts():
            worker.start()
        theirs.close()
        self._handles.append(WorkerHandle(task, worker, ours))

    def _assign_next(self) -> None:
        """Give the next slide to the worker that waited longest."""
        try:
            source = self._feed.recv()
        except EOFError:
            self._no_more = True
            for handle in self._waiting:
                handle.send_slide(None)
            self._waiting.clear()
        else:
            if isinstance(source, BaseException):
                raise source
            handle = self._waiting.pop(0)
            handle.send_slide(OpenSlide(source, list(handle.task.steps)))

    def _receive(self, handle: WorkerHandle) -> Iterator[Outcome]:
        try:
            message = handle.connection.recv()
        except (EOFError, OSError):
            yield from self._remove(handle)
            return
        if isinstance(message, NextSlideWanted):
            self._ready(handle)
        elif isinstance(message, PatchProgress):
            self._on_patches(message.stem, message.done, message.total)
        elif isinstance(message, LogRecord):
            getLogger(message.name).handle(message)
        elif isinstance(message, AtlasPatchError):
            raise message
        elif handle.note_outcome(message):
            yield message

    def _ready(self, handle: WorkerHandle) -> None:
        """Take back what a worker has read, and let it wait for the next slide."""
        self._requeue(handle)
        if self._suspects and not handle.slides_given:
            handle.isolated = True
            handle.send_slide(self._suspects.pop(0))
        elif self._no_more or handle.isolated:
            handle.send_slide(None)
        else:
            self._waiting.append(handle)

    def _requeue(self, handle: WorkerHandle) -> None:
        if handle.reading:
            self._release(handle.reading)
            handle.reading = ""

    def _remove(self, handle: WorkerHandle) -> Iterator[Outcome]:
        """Yield what becomes of the slides of a worker that ended; hire another where one is needed."""
        handle.process.join()
        handle.connection.close()
        self._handles.remove(handle)
        self._waiting = [other for other in self._waiting if other is not handle]
        self._requeue(handle)
        if handle.process.exitcode != 0:
            yield from self._report_death(handle, how_ended(handle.process.exitcode))
        if self._suspects or (not self._no_more and (handle.isolated or handle.process.exitcode != 0)):
            self._spawn(handle.task)

    def _report_death(self, handle: WorkerHandle, how: str) -> Iterator[Outcome]:
        """Yield the failure of the slide that a worker died of; where it may be one of several, each is tried alone."""
        if not handle.slides_given:
            raise WorkerDied(
                f"the worker on {handle.task.device} ended with {how} before it took a slide; see above why"
            )
        if len(handle.open) > 1:
            self._suspects += [
                OpenSlide(replace(slide.source, local=None), slide.steps) for slide in handle.open.values()
            ]
            return
        for stem, slide in handle.open.items():
            note_clause(slide.source, Store(handle.task.project.output), how)
            yield from worker_death(stem, slide.steps, handle.task.device, how)


def _feed(sources: Iterable[SlideSource], feeding: Connection) -> None:
    """Put the slides into a pipe, which can be waited for together with what workers say."""
    with suppress(OSError), feeding:
        try:
            for source in sources:
                feeding.send(source)
        except AtlasPatchError as error:
            feeding.send(error)
