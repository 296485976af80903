"""The job run here and now, in this process: batches one after the other, and what Dagster recorded of each.

Dagster's own commands do not serve: `dagster asset materialize` and `dg launch` take neighbours alone, and load the
models anew for each; `dagster job launch` and backfills wait for a daemon, and none shows a slide as it is done.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from atlaspatch_assets.cli.interrupted_runs import FirstSignal, RunProgress, cancelled_by_signals, deferred_signals
from atlaspatch_assets.dagster_internals import shield_log_processes
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.batch_ops import without_preview_warnings
from atlaspatch_assets.lib.batches import cohort_batches
from atlaspatch_assets.lib.names import PROCESSED, PartitionKind, ProjectNames
from atlaspatch_assets.lib.run_locks import MACHINE_TAG, take_run_lock, this_machine
from atlaspatch_assets.lib.stopped_runs import ANEW_TAG
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.lost_folders import lost_folder
from atlaspatch_core.errors import ForeignExit
from atlaspatch_core.storage.writable import write_fault
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own lines on the console, hundreds a run, say nothing that is not in the events."""


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What Dagster recorded of one asset of one slide."""

    stem: str
    asset: str
    status: Status
    why: str = ""
    numbers: dict[str, int | float] = field(default_factory=dict)
    seconds: float = 0.0
    path: Path | None = None
    warnings: str = ""
    fingerprint: str | None = None


def materialize(
    project: Project,
    stems: Sequence[str],
    instance: dg.DagsterInstance,
    *,
    force: bool,
    show: Callable[[OutcomeRow], None],
    cohorts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Materialise every asset of these slides; ``show`` gets each row as it is recorded.

    Slides of one of the ``cohorts``, by stem, go together.

    Yields what went wrong with a run beside failed slides, which have rows: one text per run, none when all is well.
    Raises ForeignExit where code of a plugin would end the program.
    """
    slides = ProjectNames.of(project).slides
    slides.register(instance, stems)
    batches = cohort_batches(stems, cohorts, project.runtime.slides_per_run)
    yield from run_requests(
        project, slides, (slides.request(batch, "", tags=ANEW_TAG, force=force) for batch in batches), instance, show
    )


def run_requests(
    project: Project,
    kind: PartitionKind,
    requests: Iterable[dg.RunRequest],
    instance: dg.DagsterInstance,
    show: Callable[[OutcomeRow], None],
) -> Iterator[str]:
    """Run here what is asked of slides or cases; ``show`` and what is yielded as above.

    Raises KeyboardInterrupt or Terminated, with notes of what was done, where a signal ends it; the run is cancelled.
    """
    with without_preview_warnings():
        job = build_definitions(project).resolve_job_def(kind.job_name)
    recipe = make_recipe(project)
    stages = recipe.stages if kind == kind.names.slides else recipe.cases
    assets = frozenset(kind.names.asset_keys(stage.step for stage in stages))
    shield_log_processes(instance)
    progress = RunProgress(kind, tuple(requests), assets)

    def note_and_show(row: OutcomeRow) -> None:
        progress.note(row.stem, row.asset, failed=row.status is Status.FAILED)
        show(row)

    with deferred_signals() as first_signal, progress.told_where_interrupted():
        for request in progress.requests:
            crashes = list(_run(job, request, instance, note_and_show, first_signal))
            yield from crashes
            if crashes and (write_fault(project.output) or lost_folder(project)):  # the next would stop for the same
                return


def _run(
    job: dg.JobDefinition,
    request: dg.RunRequest,
    instance: dg.DagsterInstance,
    show: Callable[[OutcomeRow], None],
    first_signal: FirstSignal,
) -> Iterator[str]:
    run_id = str(uuid.uuid4())
    if request.asset_selection:
        checks = set(request.asset_check_keys or ())
        job = job.get_subset(asset_selection=set(request.asset_selection), asset_check_selection=checks)
    instance.add_event_listener(run_id, lambda entry: [show(row) for row in outcome_rows(entry)])
    with take_run_lock(instance, run_id), cancelled_by_signals(instance, run_id, first_signal):
        result = job.execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            run_config=dict(request.run_config) | QUIET,
            run_id=run_id,
            tags={**request.tags, "atlaspatch/source": "cli", MACHINE_TAG: this_machine()},
            raise_on_error=False,
        )
    for event in result.all_events:
        if crash := _crash_message(event):
            if _is_foreign_exit(event.step_failure_data.error):
                raise ForeignExit(crash)
            yield crash


def _crash_message(event: dg.DagsterEvent) -> str | None:
    """Return what broke a run; None for any other event, and where it is the failed slides that ended it."""
    if not event.is_step_failure:
        return None
    failure = event.step_failure_data
    if failure.user_failure_data and {"failed_slides", "failed_cases"} & failure.user_failure_data.metadata.keys():
        return None
    description = failure.user_failure_data.description if failure.user_failure_data else None
    return description or _root_message(failure.error)


def _is_foreign_exit(error: SerializableErrorInfo | None) -> bool:
    """Tell whether it is code of a plugin that ended a run; the next would end for the same."""
    while error and error.cls_name != ForeignExit.__name__:
        error = error.cause
    return error is not None


def _root_message(error: SerializableErrorInfo | None) -> str:
    """Return the message of the first cause: Dagster wraps what it did not expect."""
    while error and error.cause and error.cls_name != ForeignExit.__name__:
        error = error.cause
    return error.message.strip() if error else "the run failed"


def outcome_rows(entry: dg.EventLogEntry) -> Iterator[OutcomeRow]:
    """Yield the row of a materialisation or of a failed check; nothing for any other event."""
    event = entry.dagster_event
    if event is None:
        return
    if event.event_type_value == dg.DagsterEventType.ASSET_MATERIALIZATION:
        yield _materialized_row(event.step_materialization_data.materialization)
    elif event.event_type_value == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        if evaluation.check_name == PROCESSED and not evaluation.passed:
            reason = str(evaluation.metadata["reason"].value)
            yield OutcomeRow(evaluation.partition or "", evaluation.asset_key.to_user_string(), Status.FAILED, reason)


def _materialized_row(event: dg.AssetMaterialization) -> OutcomeRow:
    values = {name: entry.value for name, entry in event.metadata.items()}
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return OutcomeRow(
        stem=str(event.partition),
        asset=event.asset_key.to_user_string(),
        status=Status(values["status"]),
        why=str(values.get("why", "")),
        seconds=numbers.pop("seconds"),
        numbers=numbers,
        path=Path(str(values["path"])) if "path" in values else None,
        warnings=str(values.get("warnings", "")),
        fingerprint=(event.tags or {}).get("dagster/data_version") or None,
    )
