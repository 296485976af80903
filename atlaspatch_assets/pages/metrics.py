"""What a monitoring system reads: slides by state, speed, queue, and the age of what waits longest."""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from prometheus_client.core import GaugeMetricFamily, Metric

from atlaspatch_assets.defs.validity.backfill import measure_rates
from atlaspatch_assets.pages.view import ProjectView, Snapshot
from atlaspatch_core.operations.report.needs import NeedKind
from atlaspatch_core.operations.report.rendering import count_states
from atlaspatch_core.validity.states import State


@dataclass(frozen=True, slots=True, eq=False)
class ProjectCollector:
    """Gives the numbers of one project to a registry of prometheus_client."""

    view: ProjectView

    def collect(self) -> Iterator[Metric]:
        """Yield them, read now."""
        snapshot = self.view.read()
        project = snapshot.status.recipe.project.name or ""
        yield _outputs(snapshot, project)
        yield _needs(snapshot, project)
        yield _rates(snapshot, project, self.view.instance)
        runs = GaugeMetricFamily(
            "atlaspatch_runs", "Runs that have not ended, by status.", labels=["project", "status"]
        )
        for status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED):
            runs.add_metric([project, status.value.lower()], snapshot.runs.get(status.value, 0))
        yield runs
        yield _waiting(snapshot, project)


def _outputs(snapshot: Snapshot, project: str) -> Metric:
    labels = ["project", "output", "state"]
    family = GaugeMetricFamily("atlaspatch_outputs", "Outputs of slides and cases, by state.", labels=labels)
    status = snapshot.status
    stages = (*status.recipe.stages, *status.recipe.cases)
    for step, counts in count_states((stage.step for stage in stages), (*status.outputs, *status.cases)):
        for state in State:
            family.add_metric([project, str(step), state.value], counts.get(state, 0))
    return family


def _needs(snapshot: Snapshot, project: str) -> Metric:
    family = GaugeMetricFamily("atlaspatch_needs", "Slides that need a person, by kind.", labels=["project", "kind"])
    needs = snapshot.needs
    for kind in NeedKind:
        stems = {stem for need in needs if need.kind is kind for stem in need.stems}
        family.add_metric([project, kind.value], len(stems))
    return family


def _rates(snapshot: Snapshot, project: str, instance: dg.DagsterInstance) -> Metric:
    text = "Patches (features) or slides (all others) a second, mean of the latest runs that computed them."
    family = GaugeMetricFamily("atlaspatch_rate", text, labels=["project", "output"])
    for step, rate in measure_rates(snapshot.status.recipe, instance).items():
        family.add_metric([project, str(step)], rate.per_second)
    return family


def _waiting(snapshot: Snapshot, project: str) -> Metric:
    """Return the age of the slide that waits longest, by the time at which its file came to lie where it is."""
    text = "Seconds since the oldest slide came of which an output is missing; 0 where none waits."
    family = GaugeMetricFamily("atlaspatch_oldest_unprocessed_slide_seconds", text, labels=["project"])
    waiting = {output.stem for output in snapshot.status.outputs if output.state is State.MISSING}
    paths = (source.path for source in snapshot.discovery.sources if source.stem in waiting)
    came = min((path.stat().st_ctime for path in paths if path.exists()), default=snapshot.read_at)
    family.add_metric([project], max(0.0, snapshot.read_at - came))
    return family
