"""The tracking of one run, from its start to its end, however it ends."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.tracking import runs, summary
from atlaspatch_core.operations.tracking.counts import Counts
from atlaspatch_core.operations.tracking.folder import StateFolder, read_states, totals
from atlaspatch_core.operations.tracking.json_files import isoformat, lock_path, write_json
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock
from atlaspatch_core.operations.tracking.signals import fate_of
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OF_CASES, Outcome, OutputKey

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed."""

    name: str
    """Such as ``encode-slide``."""
    arguments: Mapping[str, object]
    """Name of an option to its value."""
    steps: Collection[OutputKey] | None = None
    """Those that are taken; None: all of the project."""
    trusted: Collection[OutputKey] = ()
    """Those among them whose outputs are taken as they lie, whatever the project says of them."""


class Tracker:
    """Owns the lock of a run, and keeps its file, the states of its slides and the summary.

    ``with Tracker(…) as tracker: … tracker.take(outcome)``. What cannot be written never stops the work: the first time
    it is logged as a warning. ``take`` is for one thread.
    """

    def __init__(self, project: Project, discovery: Discovery, command: Command, *, cases: int | None = None) -> None:
        """``discovery`` are the slides of the run, by which outcomes find the path that their state is named after.

        ``cases`` is the number of cases that the run embeds, None for a command that embeds none.
        """
        self._store = Store(project.output)
        self._run = runs.new_run(project.output, command.name, command.arguments, remembered(project))
        self._run |= {"stages": kinds(command.steps), "settled_stages": kinds(command.trusted)}
        self._paths = discovery.paths
        self._counts = Counts(len(self._paths))
        self._cases = None if cases is None else Counts(cases)
        self._states = StateFolder(self._store, several=len(project.geometry) > 1)
        self._lock: FileLock | None = None
        self._over = threading.Event()
        self._warned = False

    @property
    def run_id(self) -> str:
        """12 hex digits."""
        return self._run["run_id"]

    def record_outcome(self, outcome: Outcome) -> None:
        """Note what became of a step of a slide, or of an embedding of a case."""
        if self._cases and outcome.step.kind == OF_CASES:
            self._cases.count_outcome(outcome)
            return
        self._counts.count_outcome(outcome)
        if path := self._paths.get(outcome.stem):
            self._try_action(lambda: self._states.record_outcome(path, outcome))

    def __enter__(self) -> Self:
        self._try_action(self._start)
        threading.Thread(target=self._write_heartbeat, name="run-tracking", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._try_action(self._states.close)
        status, words = fate_of(error)
        self._run |= {"status": status, "error": words, "finished_at": isoformat(time.time())}
        self._try_action(self._end)
        self._try_action(self._unlock)

    def _start(self) -> None:
        output = self._store.output
        self._lock = runs.run_lock(output, self.run_id)
        self._lock.acquire()
        with hold_tracking_lock(output):
            for run in runs.mark_dead_runs(output, runs.locked_runs(output)):
                summary.append_section(output, summary.section(run.values, None, {}))
            self._write()
        self._states.open()

    def _end(self) -> None:
        every = totals(read_states(self._store))
        with hold_tracking_lock(self._store.output):
            self._write()
            summary.append_section(self._store.output, summary.section(self._run, self._counts, every, self._cases))

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()
            lock_path(self._store.output, self.run_id).unlink(missing_ok=True)

    def _write(self) -> None:
        self._run["slides"] = self._counts.totals()
        if self._cases:
            self._run["cases"] = self._cases.totals()
        write_json(runs.run_path(self._store.output, self.run_id), self._run)

    def _write_heartbeat(self) -> None:
        while not self._over.wait(runs.SECONDS_BETWEEN_BEATS):
            self._try_action(self._say_alive)

    def _say_alive(self) -> None:
        with hold_tracking_lock(self._store.output):
            if not self._over.is_set():
                self._write()

    def _try_action(self, action: Callable[[], None]) -> None:
        """Do what a full disk or a folder that cannot be written must not stop the work for; warn once."""
        try:
            action()
        except (OSError, AtlasPatchError, NotImplementedError) as error:  # the last: no kernel locks on this disk
            if not self._warned:
                why = getattr(error, "strerror", None) or error
                log.warning("the run is not tracked in %s (%s); results are kept all the same", self._store.output, why)
            self._warned = True


def remembered(project: Project) -> dict[str, Any]:
    """Return a project as JSON values that mean the same from any folder."""
    values = project.model_dump(mode="json")
    return make_project(values, origin="command line", folder=Path.cwd()).model_dump(mode="json")


def kinds(steps: Collection[OutputKey] | None) -> list[str] | None:
    """Return the kinds of steps, each once."""
    return None if steps is None else list(dict.fromkeys(step.kind for step in steps))
