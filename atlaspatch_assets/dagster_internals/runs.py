"""Runs, their pools, processes and signals."""

import json
import socket
from abc import abstractmethod
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._utils import interrupts

from atlaspatch_core.isolation.interrupts import wait_while_importing, without_interrupts

AssetJob = UnresolvedAssetJobDefinition
"""What ``dg.define_asset_job`` returns; Dagster exports the function and not its type."""
SECONDS_TO_CONNECT = 5.0


def storage_kind(instance: dg.DagsterInstance) -> str:
    """Return what runs are stored in, ``SqliteRunStorage`` say; that it answers is only known by asking it."""
    return type(instance.run_storage).__name__


def give_default_limits(instance: dg.DagsterInstance, pools: Collection[str]) -> None:
    """Give pools their default limit where they have none; a limit that somebody set stays as it is.

    The public ways to a pool are the page and the command ``dagster instance concurrency``, neither of which a sensor
    can use.
    """
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        for pool in set(pools) - storage.get_concurrency_keys():
            storage.initialize_concurrency_limit_to_default(pool)


def free_pool_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the places of an ended run in pools that count steps; in those that count runs it has none.

    In public this is the daemon's, and only where ``free_slots_after_run_end_seconds`` is set.
    """
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        storage.free_concurrency_slots_for_run(run_id)


def shield_log_processes(instance: dg.DagsterInstance) -> None:
    """Let the processes that Dagster starts to copy what a step prints not hear Ctrl-C, which runs here end by.

    A terminal sends it to all; the interpreters that watch the copying print tracebacks (1.13, no setting).
    """
    manager = instance.compute_log_manager
    capture_logs = manager.capture_logs

    @contextmanager
    def capture_shielded(log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        with ExitStack() as stack:
            with without_interrupts():
                context = stack.enter_context(capture_logs(log_key))
            yield context

    manager.capture_logs = capture_shielded


@contextmanager
def interrupts_wait_while_importing() -> Iterator[None]:
    """Let the handlers of signals that Dagster puts in place while it runs a job wait while modules are imported.

    What they raise at the lock of imports leaves it held, and the threads of a step wait for ever (1.13, CPython 3.11).
    """
    replace_handler = interrupts._replace_interrupt_signal
    interrupts._replace_interrupt_signal = lambda handler: replace_handler(
        wait_while_importing(handler) if callable(handler) else handler
    )
    try:
        yield
    finally:
        interrupts._replace_interrupt_signal = replace_handler


def code_server_answers(run: dg.DagsterRun) -> bool | None:
    """Tell whether somebody listens where the code server was to which a run was given.

    None for a run that the default launcher gave to none, and for a host that is not known here. The tag is hidden.
    """
    if GRPC_INFO_TAG not in run.tags:
        return None
    place = json.loads(run.tags[GRPC_INFO_TAG])
    try:
        if path := place.get("socket"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS_TO_CONNECT)
                client.connect(path)
        else:
            socket.create_connection((place["host"], place["port"]), SECONDS_TO_CONNECT).close()
    except socket.gaierror:
        return None
    except OSError:
        return False
    return True


class CancellingLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher of runs, with an answer where the code server of a run is gone, or knows it no more.

    That launcher asks the server alone to end a run; where nobody answers it raises, and the page shows HTTP 500
    (1.13). A launcher of one's own is set in public, in ``dagster.yaml``; its instance and that error have no public
    names.
    """

    def terminate(self, run_id: str) -> bool:
        """End a run; return whether it ends."""
        try:
            if super().terminate(run_id):
                return True
        except DagsterUserCodeUnreachableError:
            pass
        return self.end_unanswered(self._instance, run_id)

    @abstractmethod
    def end_unanswered(self, instance: dg.DagsterInstance, run_id: str) -> bool:
        """End a run that no server ended, unless its process lives; return whether it has ended so."""


def pools_of_run(run: dg.DagsterRun) -> frozenset[str]:
    """Return the pools that the steps of a run stand in. In public the page of a run alone shows them."""
    return frozenset((run.run_op_concurrency and run.run_op_concurrency.all_pools) or ())


def op_tag_as_requested(instance: dg.DagsterInstance, run: dg.DagsterRun, op_name: str, tag: str) -> str | None:
    """Return a tag that an op of a run had in the code location that the run was asked for by; None where it had none.

    In public a process knows the definitions that it loaded itself. Dagster keeps those that a run was made with.
    """
    if run.job_snapshot_id is None:
        return None
    ops = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.op_def_snaps
    return next((op.tags.get(tag) for op in ops if op.name == op_name), None)
