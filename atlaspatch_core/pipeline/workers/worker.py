"""What one of several worker processes does: it asks for slides, and tells what becomes of them."""

import logging
import os
import signal
from contextlib import closing, suppress
from dataclasses import dataclass
from logging.handlers import QueueHandler
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from threading import Thread

from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import AtlasPatchError, MissingDevice
from atlaspatch_core.isolation.interrupts import wait_while_importing
from atlaspatch_core.pipeline.shares import LEAST_SHARE
from atlaspatch_core.pipeline.workers.pipe import WorkerPipe
from atlaspatch_core.validity.outcome import OutputKey


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What a worker does with its slides."""

    project: Project
    """Its runtime says the device."""
    steps: tuple[OutputKey, ...]
    trusted: tuple[OutputKey, ...] = ()
    force: bool = False
    log_level: int = logging.WARNING
    least_share: int = LEAST_SHARE
    """Patches of a slide that it gives to another worker that has nothing to do, at least."""

    @property
    def device(self) -> str:
        """Where it computes."""
        return self.project.runtime.device


class Records(QueueHandler):
    """Sends log records to the employer, who writes them."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record; where nobody listens it is lost."""
        with suppress(SystemExit):
            self.queue.send_message(record)  # type: ignore[attr-defined]


def run_worker(task: WorkerTask, connection: Connection) -> None:
    """Be a worker: until there are no more slides, the employer has gone, or SIGTERM asks to stop."""
    from atlaspatch_core.encoders.devices import device_fault
    from atlaspatch_core.isolation.leases import start_ahead
    from atlaspatch_core.pipeline.processing import process_feed
    from atlaspatch_core.validity.recipe import make_recipe

    _obey()
    start_ahead(task.project.plugins)
    line = WorkerPipe(connection)
    _log_to(line, task.log_level)
    choice = {"steps": task.steps, "trusted": task.trusted, "force": task.force}
    try:
        recipe = make_recipe(task.project)
        if fault := device_fault(task.device):
            raise MissingDevice(fault)
        outcomes = process_feed(line.slides(), recipe, on_patches=line.patches, mailbox=line.mailbox, **choice)
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
