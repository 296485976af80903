"""A run as its own process executes it: asked for with one definition of a job, executed with another."""

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob  # noqa: TID251
from dagster._core.execution.api import execute_run  # noqa: TID251


def execute_as(job: dg.JobDefinition, instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """Execute a run with this definition of its job, and return it as it ended."""
    execute_run(InMemoryJob(job), run, instance, raise_on_error=False)
    ended = instance.get_run_by_id(run.run_id)
    assert ended
    return ended
