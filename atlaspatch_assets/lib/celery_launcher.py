"""The launcher of runs of ``deploy/celery``: every run is a task of a Celery worker, one worker a GPU.

``dagster-celery`` starts the tasks. It cannot tell a worker that was killed from one that works, and a run that
somebody cancels ends by it as one that failed, and is started again; both are told here.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from celery.states import PENDING, READY_STATES
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError

from atlaspatch_assets.dagster_internals import pools_of_run
from atlaspatch_assets.lib.pools import computes_on_device

GPU_QUEUE = "gpu"
"""Queue of the runs whose pool is of a device; others go to ``default_queue``."""
SECONDS_TO_ANSWER = (2.0, 4.0, 8.0)
"""How long workers are waited for, each time that they are asked; one that is busy answers beside its work."""
SECONDS_TO_CONNECT = 5.0


class CeleryLauncher(CeleryRunLauncher):
    """Gives runs to the workers of their device; says which of them no worker works on any more."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: the sensor ``end_dead_runs`` asks ``lost_runs``, which knows of runs that start or are cancelled, too."""
        return False

    def launch_run(self, context: Any) -> None:
        """Give a run to the workers of its queue: the one that its tag names, or else ``gpu`` where its pool says so.

        Raises OperationalError where the broker does not answer.
        """
        run = context.dagster_run
        if DAGSTER_CELERY_QUEUE_TAG not in run.tags and any(map(computes_on_device, pools_of_run(run))):
            self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_QUEUE_TAG: GPU_QUEUE})
            context = context._replace(dagster_run=self._instance.get_run_by_id(run.run_id))
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: a worker stops it between two results, and one that waits is never begun."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return DAGSTER_CELERY_TASK_ID_TAG not in run.tags or super().terminate(run_id)

    def broker_fault(self) -> str | None:
        """Return why the broker cannot be reached, in a few words; None where it answers."""
        try:
            with self.celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS_TO_CONNECT)
        except OperationalError as error:
            return str(error)
        return None

    def lost_runs(self, runs: Sequence[dg.DagsterRun]) -> set[str]:
        """Return the ids of those among open runs whose task has ended, or is known to no worker though it was begun.

        A run that waits for a worker is not lost. None is, where the broker does not answer: nothing is known then.
        """
        run_of_task = {
            run.tags[DAGSTER_CELERY_TASK_ID_TAG]: run for run in runs if DAGSTER_CELERY_TASK_ID_TAG in run.tags
        }
        if not run_of_task or self.broker_fault():
            return set()
        states = {task: str(self.celery.AsyncResult(task).state) for task in run_of_task}
        begun = {task for task, state in states.items() if not _waits(run_of_task[task], state)}
        ended = {task for task in begun if states[task] in READY_STATES}
        return {run_of_task[task].run_id for task in ended | self._unknown_to_workers(begun - ended)}

    def _unknown_to_workers(self, tasks: set[str]) -> set[str]:
        """Return the tasks that no worker says that it has, however often all are asked."""
        for seconds in SECONDS_TO_ANSWER:
            if not tasks:
                break
            answers = self.celery.control.inspect(timeout=seconds).query_task(*tasks) or {}
            tasks = tasks.difference(*answers.values())
        return tasks


def _waits(run: dg.DagsterRun, state: str) -> bool:
    return state == PENDING and run.status is dg.DagsterRunStatus.STARTING
