"""Runs of this process that Ctrl-C or a signal ends: cancelled in Dagster, and told of as everywhere else."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from types import FrameType

import dagster as dg

from atlaspatch_assets.dagster_internals import free_pool_slots, interrupts_wait_while_importing
from atlaspatch_assets.lib.names import PartitionKind
from atlaspatch_core.errors import AskedToEnd
from atlaspatch_core.operations.tracking.signals import SIGNALS, Terminated

FirstSignal = Callable[[], int | None]
"""Tells which signal to end came first; None where none did."""
ENDING = (signal.SIGINT, *SIGNALS)
HANDLED_BY_DAGSTER = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class RunProgress:
    """What is asked of several runs, and which of it is done."""

    kind: PartitionKind
    requests: Sequence[dg.RunRequest]
    all_assets: frozenset[dg.AssetKey]
    """What a request asks for that names none."""
    _assets_by_key: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Assets that were made."""
    _failed: set[str] = field(default_factory=set)

    def note(self, key: str, asset: str, *, failed: bool) -> None:
        """Take note of an outcome."""
        self._assets_by_key[key].add(asset)
        if failed:
            self._failed.add(key)

    @contextmanager
    def told_where_interrupted(self) -> Iterator[None]:
        """Add to what Ctrl-C or a signal raises how many are done, and how many are not."""
        try:
            yield
        except (KeyboardInterrupt, AskedToEnd) as error:
            total, done = 0, 0
            for request in self.requests:
                keys = request.run_config["ops"][self.kind.op_name]["config"][self.kind.plural]
                total += len(keys)
                done += sum(self._is_done(key, request) for key in keys)
            error.add_note(f"{done} of {total} {self.kind.plural} are done, {total - done} remain")
            raise

    def _is_done(self, key: str, request: dg.RunRequest) -> bool:
        """Tell whether all assets that a request names were made of a partition, or it failed."""
        assets = {asset.to_user_string() for asset in request.asset_selection or self.all_assets}
        return key in self._failed or assets <= self._assets_by_key[key]


@contextmanager
def cancelled_by_signals(instance: dg.DagsterInstance, run_id: str, first_signal: FirstSignal) -> Iterator[None]:
    """Let signals cancel the run that is executed here, and raise at its end KeyboardInterrupt or Terminated.

    Dagster makes one exception of SIGINT and SIGTERM, or forgets them between steps; it calls the run failed where it
    was not to be cancelled, and raises nothing (1.13).
    """
    instance.add_event_listener(run_id, _Canceller(instance, run_id, first_signal))
    with suppress(dg.DagsterExecutionInterruptedError):
        yield
    if number := first_signal():
        ended = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        _cancel(instance, run_id, ended)
        raise ended


@dataclass(slots=True)
class _Canceller:
    """Says that a run is to be cancelled as soon as a signal came, and before Dagster asks how the run ended."""

    instance: dg.DagsterInstance
    run_id: str
    first_signal: FirstSignal
    _is_said: bool = False

    def __call__(self, entry: dg.EventLogEntry) -> None:
        """See whether a signal came before this event."""
        if self._is_said or not (number := self.first_signal()):
            return
        self._is_said = True
        run = self.instance.get_run_by_id(self.run_id)
        if run and not run.is_finished:
            self.instance.report_run_canceling(run, f"{signal.Signals(number).name} ends this run.")
        if not (entry.dagster_event and entry.dagster_event.is_step_failure):  # Dagster, or a database, missed it
            signal.raise_signal(signal.SIGINT)


def _cancel(instance: dg.DagsterInstance, run_id: str, error: BaseException) -> None:
    """See to it that a run is called cancelled that a signal cut off, whatever it had come to."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.status is dg.DagsterRunStatus.SUCCESS:
        return
    if run.status is not dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run, "A signal ended this run.")
        free_pool_slots(instance, run_id)
    error.add_note(f"the run {run_id[:8]} of Dagster is cancelled")


@contextmanager
def deferred_signals() -> Iterator[FirstSignal]:
    """Note signals to end, and let nobody but Dagster raise anything for them; afterwards they are handled as before.

    So none comes between what is written of one run.
    """
    if current_thread() is not main_thread():
        yield lambda: None
        return
    noted: list[int] = []
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    handlers = {number: handler for number in ENDING if callable(handler := signal.getsignal(number))}
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        for number in handlers:
            signal.signal(number, _wait if number in HANDLED_BY_DAGSTER else _handle_as_interrupt)
        with interrupts_wait_while_importing():
            yield lambda: _first_noted(reading, noted)
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _first_noted(reading: int, noted: list[int]) -> int | None:
    with suppress(BlockingIOError):
        noted += [number for number in os.read(reading, 4096) if number in ENDING]
    return noted[0] if noted else None


def _wait(_number: int, _frame: FrameType | None) -> None:
    """Leave it at the note of a signal."""


def _handle_as_interrupt(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
