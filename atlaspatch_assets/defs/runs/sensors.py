"""The sensor that ends runs whose process died, so that neither their slides nor other runs wait for them."""

import dagster as dg

from atlaspatch_assets.lib.dead_runs import end_dead_runs
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.run_executor import locked_jobs
from atlaspatch_core.config.project import Project

DESCRIPTION = """\
Marks runs as failed whose process died without a word: killed, out of memory, or the machine went down. It is known by
a lock that dies with the process. They are started again (`run_retries`), and reuse what was finished.

Of runs on this machine that Dagster's default launcher started, and of those that Celery's workers do, on whatever
machine: the workers are asked. Other launchers look at the health of their runs.
"""


def build_dead_run_sensor(project: Project) -> dg.SensorDefinition:
    """Return the sensor; it runs from the start. ``atlaspatch end-dead-runs`` does the same where no daemon is."""

    @running_sensor(ProjectNames.of(project), "end_dead_runs", None, DESCRIPTION)
    def end_dead_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        assert context.repository_def is not None
        ended = end_dead_runs(context.instance, locked_jobs(context.repository_def))
        if not ended:
            return dg.SkipReason("no run of this machine is dead")
        for run in ended:
            context.log.warning(f"{run.run_id}, a {run.job_name}, was {run.status}; its process is gone")
        return dg.SkipReason(f"ended {', '.join(run.run_id for run in ended)}: their processes are gone")

    return end_dead_runs_sensor
