"""The executor of all jobs: every step in the run's process, which holds the lock of the run."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import interrupts_wait_while_importing
from atlaspatch_assets.lib.run_locks import MACHINE_TAG, hold_run_lock, this_machine

RETRY_TAG = {"dagster/retry_on_asset_or_op_failure": "true"}
"""Tag of runs that Dagster starts once more though a step of theirs failed."""


class LockedExecutor(dg.Executor):
    """Dagster's own in-process executor, once the run is locked and is still to be done.

    A run is started once more where a step failed and no ``dagster.Failure`` says why: its database went away.
    """

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        """Dagster's own."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """Dagster's own."""
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        """Yield the events of the steps. Raises dagster.Failure where the run was ended before it had its lock."""
        instance, run_id = plan_context.instance, plan_context.run_id
        hold_run_lock(instance, run_id)
        instance.add_run_tags(run_id, {MACHINE_TAG: this_machine()})
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            raise dg.Failure("the run was ended by somebody else before its first step", allow_retries=False)
        with interrupts_wait_while_importing():
            for event in self._inner.execute(plan_context, execution_plan):
                if event.is_step_failure and event.step_failure_data.user_failure_data is None:
                    instance.add_run_tags(run_id, RETRY_TAG)
                yield event


CONFIG: Any = dg.in_process_executor.config_schema


@dg.executor(name="in_process", config_schema=CONFIG)
def run_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Return the executor of a run: steps one after the other, in one process, under the lock of the run."""
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None
    return LockedExecutor(create(context))


def locked_jobs(repository: dg.RepositoryDefinition) -> frozenset[str]:
    """Return the jobs whose runs hold a lock; a code location may have others."""
    return frozenset(job.name for job in repository.get_all_jobs() if job.executor_def is run_executor)
