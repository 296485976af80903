"""The sensor that tells people of runs that failed, and of slides that came to need somebody."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import dagster as dg
from pydantic import BaseModel

from atlaspatch_assets.defs.alerts.targets import send_alert
from atlaspatch_assets.defs.report.assets import failures
from atlaspatch_assets.defs.validity.assets import COVERAGE
from atlaspatch_assets.lib.declaring import running_sensor
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.page_links import page_links
from atlaspatch_assets.lib.project_runs import listed_keys, owns_run
from atlaspatch_core.operations.report.needs import NeedKind, reason_pattern
from atlaspatch_core.validity.recipe import Recipe

LATEST_RUNS = 100
"""Failed runs that are looked at; what failed before the sensor was turned on is not told of."""
MOST_REASONS = 20
"""Slides of a run, and groups, that a message names."""
ALERT_KINDS = (NeedKind.STUCK, NeedKind.STALE, NeedKind.ODD, NeedKind.REMOVED)
"""Kinds of needs of which a message is sent; what failed is told with its run, what is missing is on its way."""

DESCRIPTION = (
    "Tells the targets of [alerts] of every run that failed, and of slides that became stale, odd, stuck or removed, "
    "once for each reason. A message that could not be sent is sent again."
)


class SentAlerts(BaseModel):
    """The sensor's cursor: what messages were sent about."""

    runs: list[str] = []
    needs: list[str] = []

    @classmethod
    def of(cls, cursor: str) -> Self:
        """Return what a cursor says."""
        return cls.model_validate_json(cursor)


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent."""

    title: str
    lines: Sequence[str]


def build_alerts(recipe: Recipe) -> dg.Definitions:
    """Return the sensor ``send_alerts``; nothing for a project without targets."""
    alerts, names = recipe.project.alerts, ProjectNames.of(recipe.project)
    if not (alerts.url_variables or alerts.command):
        return dg.Definitions()

    @running_sensor(names, "send_alerts", None, DESCRIPTION)
    def send_alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        failed, needs = _failed_runs(names, context.instance), _needs(names, context.instance)
        now = SentAlerts(runs=[run.run_id for run in failed], needs=list(needs)).model_dump_json()
        if context.cursor is None:
            return dg.SensorResult(skip_reason="what was so before is not told of", cursor=now)
        sent = SentAlerts.of(context.cursor)
        messages = [_of_run(recipe, run, context.instance) for run in failed if run.run_id not in sent.runs]
        if news := [line for key, line in needs.items() if key not in sent.needs]:
            messages.append(Message(f"{_project(recipe)}: slides that need you", news))
        for message in messages:
            send_alert(alerts, message.title, "\n".join(_shortened(message.lines)))
        return dg.SensorResult(skip_reason=f"{len(messages)} messages sent", cursor=now)

    return dg.Definitions(sensors=[send_alerts])


def _failed_runs(names: ProjectNames, instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
    return [run for run in instance.get_runs(filters=failed, limit=LATEST_RUNS) if owns_run(names, run)]


def _needs(names: ProjectNames, instance: dg.DagsterInstance) -> dict[str, str]:
    """Return what ``coverage`` said last: key of a group, the same whichever slides are in it, to a line about it."""
    records = instance.fetch_materializations(names.asset_key(COVERAGE), limit=1).records
    event = records[0].asset_materialization if records else None
    table = event.metadata.get("needs_you") if event else None
    if not isinstance(table, dg.TableMetadataValue):
        return {}
    rows = [record.data for record in table.records if record.data["kind"] in ALERT_KINDS]
    return {
        f"{row['kind']} {reason_pattern(str(row['reason']), str(row['which']).split(', ')[0])}": (
            f"{row['slides']} {row['kind']}: {row['reason']} ({row['which']}). {row['cure']}"
        )
        for row in rows
    }


def _of_run(recipe: Recipe, run: dg.DagsterRun, instance: dg.DagsterInstance) -> Message:
    names = ProjectNames.of(recipe.project)
    keys = listed_keys(names.slides, run) | listed_keys(names.cases, run)
    by_step = failures(recipe, instance)
    lines = [f"{key}: {reason}" for of_step in by_step.values() for key, reason in of_step.items() if key in keys]
    return Message(f"{_project(recipe)}: run {run.run_id[:8]} failed", lines or _run_failure(run, instance))


def _run_failure(run: dg.DagsterRun, instance: dg.DagsterInstance) -> list[str]:
    """Return why a run failed whose slides did not."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    texts = [event.dagster_event.message for event in events if event.dagster_event and event.dagster_event.message]
    return texts[-1:] or ["its page in the web UI says why"]


def _project(recipe: Recipe) -> str:
    return recipe.project.name or recipe.project.output.absolute().name


def _shortened(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MOST_REASONS]
    if len(lines) > MOST_REASONS:
        yield f"and {len(lines) - MOST_REASONS} more"
    yield from (str(link.value) for link in page_links("/").values())
