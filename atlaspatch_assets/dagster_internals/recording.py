"""Events that no run of slides records: what is planned, verdicts, refusals."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, AssetObservationData, DagsterEvent

VERDICTS_JOB = "record_verdicts"
"""Name of the runs to which verdicts belong that no run of slides gave."""
REFUSALS_JOB = "refuse_slides"
"""Name of the failed runs to which the reasons belong why no run of slides was asked for."""


def announce_materializations(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    step_key: str,
    assets: Iterable[dg.AssetKey],
    partitions: Sequence[str],
) -> None:
    """Record that a run is to materialise these partitions of assets.

    Dagster records so for the partitions in the tags of a run when it makes it, one or a range of neighbours. By these
    events the page of a partition shows the run that is about it, and a partition counts as failed where the run failed
    before it was materialised. A run over keys that are no neighbours has no public way to name them (1.13, #32335).
    """
    for asset in assets:
        for partition in partitions:
            planned = AssetMaterializationPlannedData(asset, partition=partition)
            event = DagsterEvent.build_asset_materialization_planned_event(run.job_name, step_key, planned)
            instance.report_dagster_event(event, run.run_id, logging.DEBUG)


@dataclass(slots=True)
class VerdictRecorder:
    """Records verdicts that no run of slides gave; they belong to a run of their own, made with the first of them.

    ``report_runless_asset_event`` takes the first verdict on a partition alone: all runless verdicts have the run "",
    and Dagster's table has one row for a check, run and partition, so the second violates its index (1.13; no thread
    upstream). Verdicts of different runs follow each other, so a second one on a partition begins another run. The runs
    are made as ended: nothing waits for them, and no kill leaves one open.
    """

    instance: dg.DagsterInstance
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of these runs."""
    _run_id: str = ""
    _recorded: set[tuple[dg.AssetCheckKey, str | None]] = field(default_factory=set)
    """What has its verdict in this run."""

    def record(self, verdicts: Iterable[dg.AssetCheckEvaluation]) -> None:
        """Record verdicts in their order."""
        for verdict in verdicts:
            self._make_run(verdict)
            event = DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
                event_specific_data=verdict,
                job_name=VERDICTS_JOB,
            )
            self.instance.report_dagster_event(event, run_id=self._run_id)

    def _make_run(self, verdict: dg.AssetCheckEvaluation) -> None:
        """Make a run where there is none yet, or none that is free for this verdict."""
        place = verdict.asset_check_key, verdict.partition
        if not self._run_id or place in self._recorded:
            description = "Verdicts on slides, as the sensors and the command line gave them."
            job, status = _job_that_is_done(VERDICTS_JOB, description), dg.DagsterRunStatus.SUCCESS
            self._run_id = self.instance.create_run_for_job(job, status=status, tags=self.tags).run_id
            self._recorded.clear()
        self._recorded.add(place)


def record_refusals(
    instance: dg.DagsterInstance, reasons: Sequence[dg.AssetObservation], tags: Mapping[str, str]
) -> None:
    """Record why partitions will not be made, as what a failed run says that was to make them.

    Without a materialisation the page of a partition shows the latest run that planned one, and its list of events
    those alone that belong to a run; a runless observation is on neither, and the partition counts as missing (1.13).
    """
    if not reasons:
        return
    job = _job_that_is_done(REFUSALS_JOB, "Slides that cannot be used, as the sensor found them; it started no run.")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=tags)
    for reason in reasons:
        announce_materializations(instance, run, REFUSALS_JOB, [reason.asset_key], [str(reason.partition)])
        event = DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_OBSERVATION.value,
            event_specific_data=AssetObservationData(reason),
            job_name=REFUSALS_JOB,
            step_key=REFUSALS_JOB,
            message=reason.description,
        )
        instance.report_dagster_event(event, run.run_id, logging.ERROR)


def _job_that_is_done(name: str, description: str) -> dg.JobDefinition:
    @dg.op(name=name, description=description)
    def op() -> None:
        """Stand for the work, which is done already."""

    @dg.job(name=name)
    def job() -> None:
        op()

    return job
