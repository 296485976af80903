"""Slides as they are found, in a pipe, which can be waited for together with what workers say."""

from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from threading import Thread

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.pipeline.crashes import crashing_last
from atlaspatch_core.storage.store import Store


class SlideFeed:
    """Owns the thread that goes through the slides; those that crashed before come last."""

    def __init__(self, sources: Iterable[SlideSource], store: Store, context: SpawnContext) -> None:
        self.connection, feeding = context.Pipe(duplex=False)
        """Ready when there is a slide, or none any more."""
        self._thread = Thread(target=_feed, args=(sources, store, feeding), name="feed", daemon=True)

    def start(self) -> None:
        """Begin to go through the slides."""
        self._thread.start()

    def next(self) -> SlideSource | None:
        """Return the next slide, or None where there is none. Raises what finding it raised."""
        try:
            source = self.connection.recv()
        except EOFError:
            return None
        if isinstance(source, BaseException):
            raise source
        return source

    def close(self) -> None:
        """Want no more."""
        self.connection.close()


def _feed(sources: Iterable[SlideSource], store: Store, feeding: Connection) -> None:
    with suppress(OSError), feeding:
        try:
            for source in crashing_last(sources, store):
                feeding.send(source)
        except AtlasPatchError as error:
            feeding.send(error)
