"""Where the thread that reads patches learns what other workers want of it, and have made for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock

from atlaspatch_core.pipeline.shares import NothingToShare, PatchShare, ShareEnd, ShareFeatures, ShareWanted

SECONDS_TO_WAIT = 0.5
"""How often a thread that waits for others looks whether it is to stop."""

Answer = PatchShare | NothingToShare | ShareFeatures | ShareEnd


class ShareMailbox:
    """Messages about shares, of one worker: a thread listens and puts them here, the one that reads takes them."""

    def __init__(self, send: Callable[[Answer], None]) -> None:
        self.send = send
        """Tells the others."""
        self.dropped: set[str] = set()
        """Keys of shares that nobody wants any more."""
        self._arrived: SimpleQueue[ShareFeatures | ShareEnd] = SimpleQueue()
        self._request: ShareWanted | None = None
        self._reads = False
        self._lock = Lock()

    def ask(self, request: ShareWanted) -> None:
        """Note that patches are wanted; where none are read now, say that there is nothing."""
        with self._lock:
            if self._reads:
                self._request = request
                return
        self.send(NothingToShare("", 0))

    def receive(self, message: ShareFeatures | ShareEnd) -> None:
        """Put what came of a share that was given away."""
        self._arrived.put(message)

    @contextmanager
    def reading(self, stem: str, total: int) -> Iterator[None]:
        """Let patches be asked for as long as a slide is read."""
        with self._lock:
            self._reads = True
        try:
            yield
        finally:
            with self._lock:
                self._reads = False
            if self.take_request():
                self.send(NothingToShare(stem, total))

    @property
    def request(self) -> ShareWanted | None:
        """What was asked for, and is not answered yet."""
        return self._request

    def take_request(self) -> ShareWanted | None:
        """Return what was asked for, once."""
        with self._lock:
            request, self._request = self._request, None
        return request

    def arrived(self, *, wait: bool) -> Iterator[ShareFeatures | ShareEnd]:
        """Yield what came of shares; where nothing did, wait a moment for it."""
        while True:
            try:
                yield self._arrived.get(timeout=SECONDS_TO_WAIT) if wait else self._arrived.get_nowait()
            except Empty:
                return
            wait = False
