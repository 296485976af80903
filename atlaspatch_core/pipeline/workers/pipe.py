"""A worker's connection to its employer: several threads speak, one listens."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.share_mailbox import ShareMailbox
from atlaspatch_core.pipeline.shares import DropShare, Flush, PatchShare, ShareEnd, ShareFeatures, ShareWanted

SECONDS_BETWEEN_PATCHES = 0.2
"""How often a worker tells how far the patches of a slide are."""


@dataclass(frozen=True, slots=True)
class NextSlideWanted:
    """A worker's word for: I read the slide before no more; give me the next."""


@dataclass(frozen=True, slots=True)
class PatchProgress:
    """How far the encoding of a slide is."""

    stem: str
    done: int
    total: int


class WorkerPipe:
    """The connection to the employer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._speaking = Lock()
        self._last_report = 0.0
        self._entries: SimpleQueue[SlideSource | PatchShare | Flush | None] = SimpleQueue()
        self.mailbox = ShareMailbox(self.send_message)
        """Where shares of slides are asked for and given away."""
        Thread(target=self._listen, name="listen", daemon=True).start()

    def send_message(self, message: Any) -> None:
        """Send a message. Raises SystemExit when nobody listens any more."""
        try:
            with self._speaking:
                self._connection.send(message)
        except OSError as error:
            raise SystemExit(0) from error

    def slides(self) -> Iterator[SlideSource | PatchShare | Flush]:
        """Yield slides, and what else is to be done, until there is no more, or nobody gives any."""
        with suppress(SystemExit):
            self.send_message(NextSlideWanted())
            while (item := self._entries.get()) is not None:
                yield item
                if not isinstance(item, Flush):
                    self.send_message(NextSlideWanted())

    def patches(self, stem: str, done: int, total: int) -> None:
        """Tell how far a slide is, now and then."""
        if done == total or monotonic() - self._last_report >= SECONDS_BETWEEN_PATCHES:
            self._last_report = monotonic()
            self.send_message(PatchProgress(stem, done, total))

    def _listen(self) -> None:
        """Put what the employer says where it is waited for."""
        with suppress(EOFError, OSError, SystemExit):
            while True:
                self._put(self._connection.recv())
        self._entries.put(None)

    def _put(self, message: Any) -> None:
        match message:
            case ShareWanted():
                self.mailbox.ask(message)
            case ShareFeatures() | ShareEnd():
                self.mailbox.receive(message)
            case DropShare():
                self.mailbox.dropped.add(message.key)
            case _:
                self._entries.put(message)
