"""What Celery's workers run: ``celery -A atlaspatch_assets.lib.celery_app worker -Q gpu --concurrency 1``.

Broker and settings are those of the launcher in ``$DAGSTER_HOME/dagster.yaml``, so that they stand in one place.
"""

from multiprocessing import current_process
from typing import Any

import dagster as dg
from celery import Celery
from celery.signals import worker_process_init
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from atlaspatch_assets.lib.celery_launcher import CeleryLauncher


def make_app() -> Celery:
    """Return the app of the instance that ``DAGSTER_HOME`` names. Raises dagster.DagsterError for one without."""
    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, CeleryLauncher):
            raise dg.DagsterInvariantViolationError(
                f"the runs of {instance.root_directory} are started by a {type(launcher).__name__}; copy "
                "deploy/celery/dagster.yaml there"
            )
    create_execute_job_task(launcher.celery)
    create_resume_job_task(launcher.celery)
    return launcher.celery


@worker_process_init.connect
def allow_processes(**_: Any) -> None:
    """Let runs start processes of their own, which Python forbids where a pool made the process that they run in."""
    current_process().daemon = False


def __getattr__(name: str) -> Any:
    """Make the app once Celery asks for it; to import this module needs no instance."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = make_app()
    return globals()[name]
