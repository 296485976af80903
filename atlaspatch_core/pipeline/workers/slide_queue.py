"""The slides that no worker has yet, and those that a worker died of: who is given which."""

from collections.abc import Callable, Sequence

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.shares import PatchShare
from atlaspatch_core.pipeline.workers.exchange import ShareExchange
from atlaspatch_core.pipeline.workers.handle import OpenSlide, WorkerHandle


class SlideQueue:
    """Gives workers what they are to do, in the order in which they ask."""

    def __init__(self, workers: Sequence[WorkerHandle], release: Callable[[str], None]) -> None:
        self._workers, self._release = workers, release
        self._waiting: list[WorkerHandle] = []
        self.suspects: list[OpenSlide] = []
        """Slides that a worker had in hand when it died."""
        self.has_ended = False
        """Whether no new slide comes."""
        self.exchange = ShareExchange(workers, self._idle, self._assign_share)

    @property
    def wants_slide(self) -> bool:
        """Tell whether a new slide would be given to a worker at once."""
        return not self.has_ended and any(map(self._takes_new, self._waiting))

    def add(self, worker: WorkerHandle) -> None:
        """Let a worker wait that reads no slide any more."""
        self.take_back(worker)
        worker.has_begun = True
        self._waiting.append(worker)

    def take_back(self, worker: WorkerHandle) -> None:
        """Release the slide that a worker has read."""
        if worker.reading:
            self._release(worker.reading)
            worker.reading = ""

    def remove(self, worker: WorkerHandle) -> None:
        """Forget a worker that ended."""
        self.take_back(worker)
        self._waiting = [other for other in self._waiting if other is not worker]
        self.exchange.lost(worker)

    def give(self, source: SlideSource) -> None:
        """Give a new slide to the worker that waited longest."""
        worker = next(filter(self._takes_new, self._waiting))
        self._waiting.remove(worker)
        worker.send_slide(OpenSlide(source, list(worker.task.steps)))

    def dispatch(self) -> bool:
        """Give suspects and shares to those who wait; return whether all work is done."""
        for worker in list(self._waiting):
            if (slide := self._suspect_for(worker)) and not worker.open:
                self.suspects.remove(slide)
                self._waiting.remove(worker)
                worker.isolated = True
                worker.send_slide(slide)
            elif self.has_ended or not self._takes_new(worker):
                worker.flush()
        if self.has_ended:
            self.exchange.ask()
        return self.has_ended and not self.suspects and len(self._idle()) == len(self._workers)

    def _assign_share(self, worker: WorkerHandle, share: PatchShare) -> None:
        self._waiting.remove(worker)
        worker.send_share(share)

    def _takes_new(self, worker: WorkerHandle) -> bool:
        return not worker.isolated and not worker.share and not self._suspect_for(worker)

    def _suspect_for(self, worker: WorkerHandle) -> OpenSlide | None:
        """Return a slide to be tried alone by a worker: on another device than before, where there is one."""
        slots = {other.slot for other in self._workers}
        able = (slide for slide in self.suspects if slide.tried_in != worker.slot or slots == {worker.slot})
        return next(able, None)

    def _idle(self) -> list[WorkerHandle]:
        """Return the workers that have nothing to do, and will be given no suspect."""
        free = (worker for worker in self._waiting if not worker.open and not worker.share)
        return [worker for worker in free if not self._suspect_for(worker)]
