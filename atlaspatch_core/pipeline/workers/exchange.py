"""Slides that several workers share: who is asked for patches, who is given them, and where features go."""

from collections.abc import Callable, Sequence

from atlaspatch_core.pipeline.schedule import fullest
from atlaspatch_core.pipeline.shares import DropShare, NothingToShare, PatchShare, ShareEnd, ShareFeatures, ShareWanted
from atlaspatch_core.pipeline.workers.handle import WorkerHandle


class ShareExchange:
    """Passes patches and features between workers, so that none is idle while another has many patches left."""

    def __init__(
        self,
        workers: Sequence[WorkerHandle],
        idle: Callable[[], Sequence[WorkerHandle]],
        assign: Callable[[WorkerHandle, PatchShare], None],
    ) -> None:
        """``idle`` returns the workers that have nothing to do, ``assign`` gives one a share."""
        self._workers, self._idle, self._assign = workers, idle, assign
        self._owners: dict[str, WorkerHandle] = {}
        """Key of a share to the worker that has its slide."""
        self._refused: set[tuple[str, int]] = set()
        """Slides, and their numbers of patches, of which too few are left."""

    def ask(self) -> None:
        """Ask for patches in the name of every worker that has nothing to do."""
        requests = sum(worker.is_asked for worker in self._workers)
        for idle in list(self._idle())[requests:]:
            able = {worker: self._left(worker) for worker in self._workers if worker.kind == idle.kind}
            least = idle.task.least_share
            busy = [worker for worker in able if worker.is_asked or worker.isolated]
            if owner := fullest(able, least, without=busy):
                owner.is_asked = True
                owner.send(ShareWanted(len(able), least))

    def offered(self, owner: WorkerHandle, share: PatchShare) -> None:
        """Give a share to a worker that has nothing to do, or back where there is none."""
        owner.is_asked = False
        taker = next((worker for worker in self._idle() if worker.kind == owner.kind), None)
        if taker is None:
            owner.send(ShareEnd(share.key))
            return
        self._owners[share.key] = owner
        self._assign(taker, share)
        self.ask()

    def refused(self, owner: WorkerHandle, answer: NothingToShare) -> None:
        """Take note that too few patches are left of a slide; ask another worker."""
        owner.is_asked = False
        self._refused |= {(answer.stem, answer.total)}
        self._refused |= {(stem, total) for stem, (_, total) in owner.progress.items()}
        self.ask()

    def came(self, worker: WorkerHandle, message: ShareFeatures | ShareEnd) -> None:
        """Pass on what a worker made of a share."""
        if owner := self._owners.get(message.key):
            owner.send(message)
        if isinstance(message, ShareEnd):
            self._owners.pop(message.key, None)
            worker.share = None

    def lost(self, worker: WorkerHandle) -> None:
        """Give the share of a worker that died back, and take back those of its own slides."""
        if worker.share:
            self.came(worker, ShareEnd(worker.share.key))
        for key in [key for key, owner in self._owners.items() if owner is worker]:
            del self._owners[key]
            for taker in self._workers:
                if taker.share and taker.share.key == key:
                    taker.send(DropShare(key))

    def _left(self, worker: WorkerHandle) -> int:
        """Return how many patches of one slide a worker has left, at most."""
        rows = ((stem, *progress) for stem, progress in worker.progress.items())
        return max((total - done for stem, done, total in rows if (stem, total) not in self._refused), default=0)
