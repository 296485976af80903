"""One file per run, ``runs/<run id>.json``: what was asked for, by whom, and how it ended.

A run holds a kernel lock while it lives, which dies with its process: a file that says ``running`` without a lock is of
a process that was killed.
"""

import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from atlaspatch_core import __version__
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.tracking.json_files import (
    isoformat,
    lock_of,
    lock_path,
    read_json,
    remove_drafts,
    seconds_of,
    write_json,
)
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store

RUNNING, KILLED = "running", "killed"
SECONDS_BETWEEN_BEATS = 30.0
"""A run says this often that it lives, for those who cannot see its lock."""
SILENT_SECONDS = 600.0
"""A run on another machine is dead when it was silent for so long: its lock may not reach over the network."""
KILLED_WHY = "the process ended without a word: killed, out of memory, or the machine went down"


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run, as it is read."""

    path: Path
    values: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """12 hex digits."""
        return self.path.stem

    @property
    def status(self) -> str:
        """``running``, ``completed``, ``error``, ``interrupted``, ``terminated`` or ``killed``."""
        return str(self.values.get("status", ""))

    @property
    def order(self) -> tuple[float, str]:
        """What sorts runs by their start."""
        epoch = self.values.get("started_epoch")
        started = epoch if isinstance(epoch, int | float) else seconds_of(str(self.values.get("started_at", "")))
        return started, self.run_id


def new_run(output: Path, tool: str, args: Mapping[str, object], project: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run that starts now.

    The names are those that readers of TRIDENT's files know; ``trident_version`` is null: TRIDENT made none of it.
    """
    started = time.time()
    return {
        "run_id": uuid4().hex[:12],
        "tool": tool,
        "started_at": isoformat(started),
        "started_epoch": started,
        "finished_at": None,
        "status": RUNNING,
        "error": None,
        "trident_version": None,
        "atlaspatch_version": __version__,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job_dir": str(output.absolute()),
        "args": {name: json_safe(value) for name, value in args.items()},
        "project": dict(project),
        "slides": {},
    }


def json_safe(value: object) -> Any:
    """Return a value as JSON has it: lists for other sequences, text for what it has no word for."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    return str(value)


def run_path(output: Path, run_id: str) -> Path:
    """Return where the file of a run lies."""
    return Store(output).run(run_id)


def run_lock(output: Path, run_id: str) -> FileLock:
    """Return the lock that a run holds while it lives. Raises UnwritableOutput."""
    return lock_of(output, run_id)


def read_runs(output: Path) -> list[RunFile]:
    """Return the runs of a folder, the latest first. Files that cannot be read are left out."""
    runs = (RunFile(path, read_json(path)) for path in run_path(output, "any").parent.glob("*.json"))
    return sorted((run for run in runs if run.values), key=lambda run: run.order, reverse=True)


def is_alive(output: Path, run: RunFile) -> bool:
    """Tell whether a run that says ``running`` does so.

    Its lock says it. A lock on another machine may not reach here: there, a run counts as alive until it was silent for
    ten minutes. Runs of other tools have no lock, and are believed. Raises OSError or UnwritableOutput where locks
    cannot be asked.
    """
    if "atlaspatch_version" not in run.values:
        return True
    if run.values.get("host") != socket.gethostname() and _silent(run.path) < SILENT_SECONDS:
        return True
    path = lock_path(output, run.run_id)
    if not path.exists():
        return False
    try:
        with run_lock(output, run.run_id).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _silent(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def locked_runs(output: Path) -> list[RunFile]:
    """Return the runs that live or were killed, found by their locks: those that ended well are not read."""
    paths = [run_path(output, lock.stem) for lock in lock_path(output, "any").parent.glob("*.lock")]
    return [RunFile(path, read_json(path)) for path in paths if path.exists()]


def mark_dead_runs(output: Path, runs: Iterable[RunFile]) -> list[RunFile]:
    """Mark those of the runs that say ``running`` and are dead as ``killed``; return them.

    To be called under the lock of the tracking. Raises OSError or UnwritableOutput.
    """
    remove_drafts(output)
    remove_drafts(run_path(output, "any").parent)
    dead = [run for run in runs if run.status == RUNNING and not is_alive(output, run)]
    return [_killed(output, run) for run in dead]


def _killed(output: Path, run: RunFile) -> RunFile:
    """Write that a run was killed; it ended at the last sign of life."""
    last = run.path.stat().st_mtime
    values = {**run.values, "status": KILLED, "error": KILLED_WHY, "finished_at": isoformat(last)}
    write_json(run.path, values)
    lock_path(output, run.run_id).unlink(missing_ok=True)
    return RunFile(run.path, values)


def live_and_latest(output: Path) -> list[RunFile]:
    """Return the runs that live, and the one that gave the last sign of life; the latest start first.

    Of several that gave it at one time, by a coarse clock, the one that began last counts.
    Dead ones are marked as ``killed``; where that cannot be written, they are only returned so.
    """
    files = list_files(run_path(output, "any").parent, ".json")
    last = max((state.st_mtime_ns for state in files.values()), default=0)
    paths = [run_path(output, name) for name, state in files.items() if state.st_mtime_ns == last]
    latest = max((RunFile(path, read_json(path)) for path in paths), key=lambda run: run.order, default=None)
    runs = {run.run_id: run for run in (*([latest] if latest else ()), *locked_runs(output)) if run.values}
    ended = {run.run_id: ended_run(output, run) for run in runs.values()}
    shown = (run for run in ended.values() if run.status == RUNNING or (latest and run.run_id == latest.run_id))
    return sorted(shown, key=lambda run: run.order, reverse=True)


def ended_run(output: Path, run: RunFile) -> RunFile:
    """Return a run as it is: ``killed`` where it says ``running`` and is dead."""
    if run.status != RUNNING:
        return run
    try:
        if is_alive(output, run):
            return run
        with hold_tracking_lock(output):
            latest = RunFile(run.path, read_json(run.path))  # it may have ended by itself just now
            return next(iter(mark_dead_runs(output, [latest])), latest)
    except (OSError, AtlasPatchError, NotImplementedError):
        return RunFile(run.path, {**run.values, "status": KILLED, "error": KILLED_WHY})
