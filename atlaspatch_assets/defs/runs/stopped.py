"""The sensor that asks again for runs which were stopped because the project had changed, or were put off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import COHORT_TAG, PartitionKind, ProjectNames
from atlaspatch_assets.lib.project_pin import PROJECT_HASH, STOPPED, project_hash
from atlaspatch_assets.lib.project_runs import owns_run
from atlaspatch_assets.lib.stopped_runs import output_fault
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import Recipe

LATELY = timedelta(days=7)
MOST_RUNS = 200
"""Stopped runs, the latest, that are asked for again."""
DESCRIPTION = """\
A run whose process finds another project file than its code location had read stops before its first slide. Once the
code location was reloaded, the run is asked for again, by the project as it is then; each such run once. So is what
the sensor `launch_batches` did not ask for while the output folder could not be written.
"""

RequestsPutOff = Callable[[Recipe, dg.DagsterInstance], Iterable[dg.RunRequest]]
"""Gives what another sensor put off until results can be written."""


def build_resume_sensor(
    recipe: Recipe, processes: Sequence[AssetJob], requests_put_off: RequestsPutOff
) -> dg.SensorDefinition:
    """Return the sensor; ``processes`` are the jobs of slides and of cases."""
    project, names = recipe.project, ProjectNames.of(recipe.project)

    @running_sensor(names, "resume_stopped", None, DESCRIPTION, jobs=processes)
    def resume_stopped(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if fault := output_fault(project, context.instance):
            yield dg.SkipReason(fault)
            return
        requests = [
            request
            for run in _stopped_runs(context.instance, project)
            for kind in (names.slides, names.cases)
            if (request := _request_again(context.instance, recipe, kind, run))
        ]
        requests += requests_put_off(recipe, context.instance)
        yield from requests or [dg.SkipReason("no run waits for a reload of the code location, or was stopped")]

    return resume_stopped


def _stopped_runs(instance: dg.DagsterInstance, project: Project) -> list[dg.DagsterRun]:
    """Return stopped runs that were asked for under another project than this code location has."""
    since = datetime.now(UTC) - LATELY
    filters = dg.RunsFilter(tags=STOPPED, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    runs, current = instance.get_runs(filters=filters, limit=MOST_RUNS), project_hash(project)
    return [run for run in runs if run.tags.get(PROJECT_HASH) != current]


def _request_again(
    instance: dg.DagsterInstance, recipe: Recipe, kind: PartitionKind, run: dg.DagsterRun
) -> dg.RunRequest | None:
    """Return the request for what a run was to take, and None where that is not of this kind, or was asked for."""
    names = kind.names
    keys = sorted(kind.tagged_keys(run) & kind.keys(instance))
    stages = recipe.stages if kind == names.slides else recipe.cases
    current = names.asset_keys(stage.step for stage in stages)
    assets = [key for key in current if not run.asset_selection or key in run.asset_selection]
    if not owns_run(names, run) or not keys or not assets:
        return None
    config: Any = run.run_config
    force = bool(config.get("ops", {}).get(kind.op_name, {}).get("config", {}).get("force"))
    whole, of_cohort = assets == current, {tag: cohort for tag, cohort in run.tags.items() if tag == COHORT_TAG}
    tags = {"atlaspatch/asked_by": run.run_id, **of_cohort}
    request = kind.request(keys, f"again {run.run_id}", tags=tags, assets=None if whole else assets, force=force)
    granted = dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})
    return None if instance.get_runs(filters=granted, limit=1) else request
