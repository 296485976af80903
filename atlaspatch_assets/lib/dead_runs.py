"""Runs whose process died without a word: found by the lock that they hold no more, and ended, so that nothing waits.

Dagster's default launcher cannot tell whether a run's process lives. After a power cut, or where everything was killed
at once, its runs would be called started for ever, and others would wait for their places. Our launcher for Celery is
asked which runs no worker has any more. Other launchers look at the health of their runs themselves.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import dagster as dg
from filelock import FileLock, Timeout

from atlaspatch_assets.dagster_internals import code_server_answers, free_pool_slots
from atlaspatch_assets.lib.run_locks import (
    MACHINE_TAG,
    STEP_MACHINE_TAG,
    has_this_host_name,
    is_this_machine,
    lock_path,
    open_steps,
    run_lock,
)

MAX_RETRIES_TAG = "dagster/max_retries"
PRIORITY_TAG = "dagster/priority"
MOST_REPEATS = 8
"""How often ``run_retries`` starts a run again that died, where ``max_retries`` allows less for those that fail."""
SECONDS_TO_LOAD = 30.0
"""A run without a lock may be loading its definitions, though its code server is gone: so long it is let alone."""
MOST_SECONDS_TO_LOAD = 600.0
"""So long after it was last heard of a run without a lock is dead, though a code server answers."""
OPEN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
CAUSE = "it was killed, was out of memory, or the machine went down"
WHAT = "the process of this run ended without a word"
NEXT = "what it had finished stays, and the next run reuses it"


@dataclass(frozen=True, slots=True)
class DeadRun:
    """A run that was said to be under way, and whose process is not."""

    run_id: str
    job_name: str
    status: str
    """What Dagster called it."""


@runtime_checkable
class KnowsLostRuns(Protocol):
    """A launcher whose workers, on whatever machine, say which runs they have."""

    def lost_runs(self, runs: Sequence[dg.DagsterRun]) -> set[str]:
        """Return the ids of those among open runs that no worker has any more."""
        ...


def dead_runs(instance: dg.DagsterInstance, jobs: Collection[str] = ()) -> list[DeadRun]:
    """Return the dead runs of this machine, or of all machines where workers are asked; nothing is changed.

    Those of ``jobs`` are known to come to a lock, so that one that never had it can be dead. Of others, those that had.
    """
    records, launcher = _open_runs(instance), instance.run_launcher
    if isinstance(launcher, KnowsLostRuns):
        lost = launcher.lost_runs([record.dagster_run for record in records])
        runs = [record.dagster_run for record in records if record.dagster_run.run_id in lost]
    else:
        runs = [record.dagster_run for record in records if _is_dead(instance, record, jobs)]
    return [DeadRun(run.run_id, run.job_name, run.status.value) for run in runs]


def end_dead_runs(instance: dg.DagsterInstance, jobs: Collection[str] = (), cause: str = CAUSE) -> list[DeadRun]:
    """Mark the dead runs of this machine as failed for this cause, or as cancelled where somebody wanted that.

    Their places in pools are free from then on, and ``run_retries`` starts them again. Raises OSError where their locks
    cannot be asked for.
    """
    ended = [run for run in dead_runs(instance, jobs) if _end(instance, run.run_id, cause)]
    _remove_locks(instance)
    return ended


def end_cancelled_run(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Mark a run as cancelled that somebody wants to end and that no server answers for; return whether it was.

    Not so one whose process holds its lock, or runs elsewhere, or of which nothing can be told from here. Raises
    OSError where its lock cannot be asked for.
    """
    run = instance.get_run_by_id(run_id)
    machine = run.tags.get(MACHINE_TAG) if run else None
    if run is None or (machine and not is_this_machine(machine)):
        return False
    if any(map(_is_locked, open_steps(instance, run_id).values())):
        return False
    if not lock_path(instance, run_id).exists():
        silent = has_this_host_name(machine) if machine else code_server_answers(run) is False
        if not silent:
            return False
    return _end(instance, run_id, CAUSE)


def _open_runs(instance: dg.DagsterInstance) -> Sequence[dg.RunRecord]:
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher | KnowsLostRuns):
        return ()
    return instance.get_run_records(filters=dg.RunsFilter(statuses=OPEN))


def _is_dead(instance: dg.DagsterInstance, record: dg.RunRecord, jobs: Collection[str]) -> bool:
    """Tell whether a run is dead; one on another machine, or of which nothing can be told from here, is not."""
    run, machine = record.dagster_run, record.dagster_run.tags.get(MACHINE_TAG)
    if machine and not is_this_machine(machine):
        return False
    if lock_path(instance, run.run_id).exists():
        return not _is_locked(run_lock(instance, run.run_id))
    if machine:  # where locks are not seen: a home that was copied without them, or the home of another container
        return has_this_host_name(machine)
    if of_step := run.tags.get(STEP_MACHINE_TAG):
        return is_this_machine(of_step) and _has_dead_step(instance, run.run_id)
    return run.job_name in jobs and _never_came_to_lock(record)


def _has_dead_step(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Tell whether the process of a step died, and nobody saw it: the process of its run would have recorded it."""
    dead = {step for step, lock in open_steps(instance, run_id).items() if not _is_locked(lock)}
    failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE) if dead else ()
    dead -= {entry.step_key for entry in failures}
    return bool(dead & open_steps(instance, run_id).keys())  # one that ended while it was looked at did so with a word


def _never_came_to_lock(record: dg.RunRecord) -> bool:
    """Tell whether a run was given to a code server, or was to be, and its process died while it loaded definitions.

    A process that is only slow finds its run ended, and stops.
    """
    run = record.dagster_run
    answers = code_server_answers(run)
    if answers is None and run.status is not dg.DagsterRunStatus.STARTING:
        return False
    silent = time.time() - record.update_timestamp.timestamp()
    return silent > (MOST_SECONDS_TO_LOAD if answers else SECONDS_TO_LOAD)


def _is_locked(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def _end(instance: dg.DagsterInstance, run_id: str, cause: str) -> bool:
    """End a run under its lock, unless it ended meanwhile or somebody holds the lock."""
    lock_path(instance, run_id).parent.mkdir(parents=True, exist_ok=True)
    try:
        with run_lock(instance, run_id).acquire(timeout=0):
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return False
            _report_end(instance, run, cause)
            return True
    except Timeout:
        return False


def _report_end(instance: dg.DagsterInstance, run: dg.DagsterRun, cause: str) -> None:
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, f"{WHAT}: {cause}; it was to be cancelled")
    else:
        _allow_repeat(instance, run)
        instance.report_run_failed(run, f"{WHAT}: {cause}; {NEXT}")
    free_pool_slots(instance, run.run_id)


def _allow_repeat(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Have ``run_retries`` start a run again that was cut off, before those that wait.

    It does not count as one that failed. The next run has its tags.
    """
    group = instance.get_run_group(run.run_id)
    attempts = len(group[1]) if group else 1
    most = int(run.tags.get(MAX_RETRIES_TAG, instance.run_retries_max_retries))
    repeats = str(max(most, min(attempts, MOST_REPEATS)))
    instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: repeats, PRIORITY_TAG: run.tags.get(PRIORITY_TAG, "1")})


def _remove_locks(instance: dg.DagsterInstance) -> None:
    """Remove the lock files of runs that have ended: nobody locks them any more."""
    folder = lock_path(instance, "any").parent
    for path in (*folder.glob("*.lock"), *folder.glob("*.ended")):
        run = instance.get_run_by_id(path.name.partition(".")[0])
        if run is not None and run.is_finished:
            path.unlink(missing_ok=True)
