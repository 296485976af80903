"""What a daemon does with runs, called without one; Dagster has no public door to it."""

import logging
import sys

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer  # noqa: TID251
from dagster._core.launcher import LaunchRunContext  # noqa: TID251
from dagster._core.origin import DEFAULT_DAGSTER_ENTRY_POINT, JobPythonOrigin, RepositoryPythonOrigin  # noqa: TID251
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry  # noqa: TID251
from dagster._daemon.monitoring.run_monitoring import monitor_started_run  # noqa: TID251

__all__ = ["code_origin", "launch", "monitor_run", "should_retry"]


def code_origin(job: str, image: str) -> JobPythonOrigin:
    """Return where the code of a run is, as a code server in a container of that image says it."""
    return JobPythonOrigin(
        job,
        RepositoryPythonOrigin(
            executable_path=sys.executable,
            code_pointer=ModuleCodePointer("atlaspatch_assets.definitions", "defs"),
            container_image=image,
            entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
            container_context=None,
        ),
    )


def launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Give a run to the launcher of its instance."""
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))


def monitor_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Look after a run as the daemon does every minute."""
    [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
    monitor_started_run(instance, None, record, logging.getLogger("test"))
