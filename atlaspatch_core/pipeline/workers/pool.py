"""Slides in, outcomes out, by several processes: one a device, each with its models loaded once.

Every process asks for its next slide when it is ready for it, so that a fast one takes more and a slow slide holds up
nobody else. Once there is none left, it is given patches of a slide that another has. A process may die, by a library
that crashes, for lack of memory, or because its device fails. Others take its place, and the slides that it had in
hand, each alone, so that only the guilty one fails.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from logging import LogRecord, getLogger
from multiprocessing import get_context
from multiprocessing.connection import wait
from time import monotonic
from typing import Any, Self

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError, MissingDevice, WorkerDied
from atlaspatch_core.isolation.interrupts import without_interrupts
from atlaspatch_core.pipeline.crashes import note_clause
from atlaspatch_core.pipeline.shares import NothingToShare, PatchShare, ShareEnd, ShareFeatures
from atlaspatch_core.pipeline.workers.feed import SlideFeed
from atlaspatch_core.pipeline.workers.handle import WorkerHandle, how_ended, worker_death
from atlaspatch_core.pipeline.workers.pipe import NextSlideWanted, PatchProgress
from atlaspatch_core.pipeline.workers.slide_queue import SlideQueue
from atlaspatch_core.pipeline.workers.worker import WorkerTask, run_worker
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome

log = getLogger(__name__)

SECONDS_TO_STOP = 30.0
"""Workers that are told to stop have so long to finish what they are writing."""
MOST_DEATHS = 3
"""Workers of one device that may die, one after the other, before one of them has done a slide."""


def process_on(
    tasks: Sequence[WorkerTask],
    sources: Iterable[SlideSource],
    *,
    release: Callable[[str], None] = lambda _: None,
    on_patches: Callable[[str, int, int], None] | None = None,
) -> Generator[Outcome]:
    """Yield the outcomes of ``process``, in any order of the slides, from one process for each task.

    ``release`` is called with the stem of every slide that no worker reads any more. Closing this ends the workers, and
    waits until what they are writing is whole. A device whose workers die again and again is given no more slides as
    long as there is another. Raises what a worker could not begin for, and WorkerDied, or MissingDevice, when one died
    before it took a slide and no other is left.
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
        self._tasks, self._on_patches = dict(enumerate(tasks)), on_patches
        """Slot to the task of its worker; a device that is given up has none."""
        self._context = get_context("spawn")
        self._handles: list[WorkerHandle] = []
        self._queue = SlideQueue(self._handles, release)
        self._deaths = Counter[int]()
        """Slot to the workers that died there since a slide was done."""
        self._feed = SlideFeed(sources, Store(tasks[0].project.output), self._context)

    def __enter__(self) -> Self:
        self._feed.start()
        for slot in self._tasks:
            self._spawn(slot)
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
        """Yield what the workers tell, until all is done."""
        while not self._queue.dispatch():
            yield from self._hear()
        for handle in self._handles:
            handle.send(None)
        while self._handles:
            yield from self._hear()

    def _hear(self) -> Iterator[Outcome]:
        """Wait for what workers say, and for a slide where one would be given away at once."""
        listening = [self._feed.connection] if self._queue.wants_slide else []
        for ready in wait([*listening, *(handle.connection for handle in self._handles)]):
            if ready is self._feed.connection:
                self._assign_next()
            elif handle := next((handle for handle in self._handles if handle.connection is ready), None):
                yield from self._receive(handle)

    def _spawn(self, slot: int) -> None:
        ours, theirs = self._context.Pipe()
        task = self._tasks[slot]
        worker = self._context.Process(
            target=run_worker, args=(task, theirs), name=f"worker {task.device}", daemon=True
        )
        with without_interrupts():
            worker.start()
        theirs.close()
        self._handles.append(WorkerHandle(task, slot, worker, ours))

    def _assign_next(self) -> None:
        source = self._feed.next()
        if source is None:
            self._queue.has_ended = True
        else:
            self._queue.give(source)

    def _receive(self, handle: WorkerHandle) -> Iterator[Outcome]:
        try:
            message = handle.connection.recv()
        except (EOFError, OSError):
            yield from self._remove(handle)
            return
        if isinstance(message, Outcome):
            if handle.note_outcome(message):
                yield message
            if message.stem not in handle.open:
                self._deaths[handle.slot] = 0
        else:
            self._take_note(handle, message)

    def _take_note(self, handle: WorkerHandle, message: Any) -> None:
        match message:
            case NextSlideWanted():
                self._queue.add(handle)
            case PatchProgress(stem, done, total):
                if stem in handle.open:
                    handle.progress[stem] = done, total
                self._on_patches(stem, done, total)
            case PatchShare():
                self._queue.exchange.offered(handle, message)
            case NothingToShare():
                self._queue.exchange.refused(handle, message)
            case ShareFeatures() | ShareEnd():
                self._queue.exchange.came(handle, message)
            case LogRecord():
                getLogger(message.name).handle(message)
            case MissingDevice():
                handle.fault = str(message)
            case AtlasPatchError():
                raise message

    def _remove(self, handle: WorkerHandle) -> Iterator[Outcome]:
        """Yield what becomes of the slides of a worker that ended; let another take its place where one is needed."""
        handle.process.join()
        handle.connection.close()
        self._handles.remove(handle)
        self._queue.remove(handle)
        how = handle.fault or how_ended(handle.process.exitcode)
        self._deaths[handle.slot] += 1
        yield from self._report_death(handle, how)
        if not handle.has_begun or self._deaths[handle.slot] >= MOST_DEATHS:
            self._give_up(handle, how)
        if handle.slot in self._tasks and (self._queue.suspects or not self._queue.has_ended):
            self._spawn(handle.slot)

    def _give_up(self, handle: WorkerHandle, how: str) -> None:
        """Do without a device as long as there is another. Raises WorkerDied or MissingDevice where there is none."""
        device = handle.task.device
        if len(self._tasks) > 1:
            del self._tasks[handle.slot]
            log.warning("the worker on %s ended with %s; going on without it, on %d", device, how, len(self._tasks))
        elif handle.fault:
            raise MissingDevice(handle.fault)
        elif not handle.has_begun:
            raise WorkerDied(f"the worker on {device} ended with {how} before it took a slide; see above why")

    def _report_death(self, handle: WorkerHandle, how: str) -> Iterator[Outcome]:
        """Yield the failure of the slide that a worker died of; where it may be another's fault, it is tried again.

        So it is for one of several slides, and once for each where there is another device.
        """
        may_be_innocent = len(handle.open) > 1 or len(self._tasks) > 1
        for slide in handle.open.values():
            if may_be_innocent and slide.tried_in is None:
                self._queue.suspects.append(slide.after_death(handle.slot, how))
            else:
                note_clause(slide.source, Store(handle.task.project.output), how)
                yield from worker_death(slide, handle.task.device, how)
