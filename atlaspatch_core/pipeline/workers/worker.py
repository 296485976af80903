"""What one of several worker processes does: it asks for slides, and tells what becomes of them."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from threading import Lock, Thread
from time import monotonic
from typing import Any

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.isolation.interrupts import wait_while_importing
from atlaspatch_core.validity.outcome import OutputKey

SECONDS_BETWEEN_PATCHES = 0.2
"""How often a worker tells how far the patches of a slide are."""


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What a worker does with its slides."""

    project: Project
    """Its runtime says the device."""
    steps: tuple[OutputKey, ...]
    trusted: tuple[OutputKey, ...] = ()
    force: bool = False
    log_level: int = logging.WARNING

    @property
    def device(self) -> str:
        """Where it computes."""
        return self.project.runtime.device


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
    """The connection to the employer; several threads speak."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._speaking = Lock()
        self._last_report = 0.0

    def send_message(self, message: Any) -> None:
        """Send a message. Raises SystemExit when nobody listens any more."""
        try:
            with self._speaking:
                self._connection.send(message)
        except OSError as error:
            raise SystemExit(0) from error

    def slides(self) -> Iterator[SlideSource]:
        """Yield slides until there are no more, or nobody gives any."""
        with suppress(EOFError, OSError, SystemExit):
            while True:
                self.send_message(NextSlideWanted())
                if (source := self._connection.recv()) is None:
                    break
                yield source

    def patches(self, stem: str, done: int, total: int) -> None:
        """Tell how far a slide is, now and then."""
        if done == total or monotonic() - self._last_report >= SECONDS_BETWEEN_PATCHES:
            self._last_report = monotonic()
            self.send_message(PatchProgress(stem, done, total))


class Records(QueueHandler):
    """Sends log records to the employer, who writes them."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record; where nobody listens it is lost."""
        with suppress(SystemExit):
            self.queue.send_message(record)  # type: ignore[attr-defined]


def run_worker(task: WorkerTask, connection: Connection) -> None:
    """Be a worker: until there are no more slides, the employer has gone, or SIGTERM asks to stop."""
    from atlaspatch_core.isolation.leases import start_ahead
    from atlaspatch_core.pipeline.processing import process
    from atlaspatch_core.validity.recipe import make_recipe

    _obey()
    start_ahead(task.project.plugins)
    line = WorkerPipe(connection)
    _log_to(line, task.log_level)
    try:
        recipe = make_recipe(task.project)
        outcomes = process(
            line.slides(), recipe, steps=task.steps, trusted=task.trusted, force=task.force, on_patches=line.patches
        )
        with closing(outcomes):
            for outcome in outcomes:
                line.send_message(outcome)
    except AtlasPatchError as error:
        line.send_message(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself from here, and ends what it started


def _obey() -> None:
    """End by SIGTERM as by Ctrl-C, with what is being written made whole, and at once when the employer is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, wait_while_importing(_stop))
    Thread(target=_end_with_employer, name="watch", daemon=True).start()


def _stop(*_: object) -> None:
    raise SystemExit(0)


def _end_with_employer() -> None:
    if employer := parent_process():
        employer.join()
        os._exit(1)


def _log_to(line: WorkerPipe, level: int) -> None:
    ours = logging.getLogger("atlaspatch_core")
    ours.addHandler(Records(line))  # type: ignore[arg-type]
    ours.setLevel(level)
    ours.propagate = False
