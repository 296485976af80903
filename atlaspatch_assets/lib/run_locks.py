"""The kernel lock that a run holds while its process lives, and on which machine that is.

Under an executor of ours the process of the run holds it. Under another none of our code runs there: a step of ours
then holds a lock of its own, and leaves a mark where it ends with a word, for the run goes on after it.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from filelock import FileLock

MACHINE_TAG = "atlaspatch/machine"
"""Tag of runs: host name and boot of the machine on which they run."""
STEP_MACHINE_TAG = "atlaspatch/step_machine"
"""The same of a run whose step alone is locked."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_held: list[FileLock] = []
"""The lock of this process's run. It is kept to the end of the process, and not of the run: who finds it free before
Dagster has recorded the end would take the run for dead."""


def lock_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    """Return the lock file of a run; it is made by the run, and stays until somebody finds that the run has ended."""
    return Path(instance.storage_directory(), "run_locks", f"{run_id}.lock")


def run_lock(instance: dg.DagsterInstance, run_id: str) -> FileLock:
    """Return the lock that a run holds while its process lives. Its folder must be there."""
    return FileLock(lock_path(instance, run_id), thread_local=False)


def take_run_lock(instance: dg.DagsterInstance, run_id: str) -> FileLock:
    """Lock a run and return the lock. Whoever looks at the run at this moment has it for an instant, and is waited for.

    Raises OSError where the lock file cannot be made.
    """
    lock_path(instance, run_id).parent.mkdir(parents=True, exist_ok=True)
    lock = run_lock(instance, run_id)
    lock.acquire()
    return lock


def hold_run_lock(instance: dg.DagsterInstance, run_id: str) -> None:
    """Lock a run for as long as this process lives, or until it begins another run. Raises OSError as above."""
    while _held:
        _held.pop().release()
    _held.append(take_run_lock(instance, run_id))


@contextmanager
def hold_step_lock(instance: dg.DagsterInstance, run_id: str, step: str) -> Iterator[None]:
    """Lock a step while it lasts, where its run has no lock. Raises OSError as above."""
    if lock_path(instance, run_id).exists():
        yield
        return
    path = lock_path(instance, f"{run_id}.{step}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, thread_local=False):
        _mark_of_end(path).unlink(missing_ok=True)
        instance.add_run_tags(run_id, {STEP_MACHINE_TAG: this_machine()})
        try:
            yield
        finally:
            _mark_of_end(path).touch()


def open_steps(instance: dg.DagsterInstance, run_id: str) -> dict[str, FileLock]:
    """Return the steps with a lock of their own that have not ended with a word, and their locks."""
    paths = lock_path(instance, "any").parent.glob(f"{run_id}.*.lock")
    return {
        path.name.removeprefix(f"{run_id}.").removesuffix(".lock"): FileLock(path, thread_local=False)
        for path in paths
        if not _mark_of_end(path).exists()
    }


def _mark_of_end(path: Path) -> Path:
    return path.with_suffix(".ended")


def this_machine() -> str:
    """Return host name and boot, such as ``lab-3 (boot 1f0c7a5e)``."""
    with suppress(OSError):
        return f"{socket.gethostname()} (boot {BOOT_ID.read_text().strip().partition('-')[0]})"
    return socket.gethostname()


def is_this_machine(machine: str) -> bool:
    """Tell whether that tag is of this machine: of this boot, in whatever container, or of this host name."""
    boot = machine.partition(" ")[2]
    return has_this_host_name(machine) or bool(boot and boot == this_machine().partition(" ")[2])


def has_this_host_name(machine: str) -> bool:
    """Tell whether the host name in that tag is that of this machine, or of this container."""
    return machine.partition(" ")[0] == socket.gethostname()
