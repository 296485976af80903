"""All that is used of Dagster beyond its public interface, each with the reason; no other module may touch its inside.

``tests/assets/test_dagster_internals.py`` holds each of these against the installed Dagster: what changes there, or is
mended, fails there first.
"""

import json
import logging
import socket
from abc import abstractmethod
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import AssetMaterializationPlannedData, AssetObservationData, DagsterEvent
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._utils import interrupts

from atlaspatch_core.isolation.interrupts import wait_while_importing, without_interrupts

AssetJob = UnresolvedAssetJobDefinition
"""What ``dg.define_asset_job`` returns; Dagster exports the function and not its type."""
VERSION_TAG = "dagster/data_version"
PAGE = 1000
SECONDS_TO_CONNECT = 5.0
VERDICTS_JOB = "record_verdicts"
"""Name of the runs to which verdicts belong that no run of slides gave."""
REFUSALS_JOB = "refuse_slides"
"""Name of the failed runs to which the reasons belong why no run of slides was asked for."""


def storage_kind(instance: dg.DagsterInstance) -> str:
    """Return what runs are stored in, ``SqliteRunStorage`` say; that it answers is only known by asking it."""
    return type(instance.run_storage).__name__


def give_default_limits(instance: dg.DagsterInstance, pools: Collection[str]) -> None:
    """Give pools their default limit where they have none; a limit that somebody set stays as it is.

    The public ways to a pool are the page and the command ``dagster instance concurrency``, neither of which a sensor
    can use.
    """
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        for pool in set(pools) - storage.get_concurrency_keys():
            storage.initialize_concurrency_limit_to_default(pool)


def free_pool_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the places of an ended run in pools that count steps; in those that count runs it has none.

    In public this is the daemon's, and only where ``free_slots_after_run_end_seconds`` is set.
    """
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits:
        storage.free_concurrency_slots_for_run(run_id)


def shield_log_processes(instance: dg.DagsterInstance) -> None:
    """Let the processes that Dagster starts to copy what a step prints not hear Ctrl-C, which runs here end by.

    A terminal sends it to all; the interpreters that watch the copying print tracebacks (1.13, no setting).
    """
    manager = instance.compute_log_manager
    capture_logs = manager.capture_logs

    @contextmanager
    def capture_shielded(log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        with ExitStack() as stack:
            with without_interrupts():
                context = stack.enter_context(capture_logs(log_key))
            yield context

    manager.capture_logs = capture_shielded


@contextmanager
def interrupts_wait_while_importing() -> Iterator[None]:
    """Let the handlers of signals that Dagster puts in place while it runs a job wait while modules are imported.

    What they raise at the lock of imports leaves it held, and the threads of a step wait for ever (1.13, CPython 3.11).
    """
    replace_handler = interrupts._replace_interrupt_signal
    interrupts._replace_interrupt_signal = lambda handler: replace_handler(
        wait_while_importing(handler) if callable(handler) else handler
    )
    try:
        yield
    finally:
        interrupts._replace_interrupt_signal = replace_handler


def code_server_answers(run: dg.DagsterRun) -> bool | None:
    """Tell whether somebody listens where the code server was to which a run was given.

    None for a run that the default launcher gave to none, and for a host that is not known here. The tag is hidden.
    """
    if GRPC_INFO_TAG not in run.tags:
        return None
    place = json.loads(run.tags[GRPC_INFO_TAG])
    try:
        if path := place.get("socket"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS_TO_CONNECT)
                client.connect(path)
        else:
            socket.create_connection((place["host"], place["port"]), SECONDS_TO_CONNECT).close()
    except socket.gaierror:
        return None
    except OSError:
        return False
    return True


class CancellingLauncher(dg.DefaultRunLauncher):
    """Dagster's default launcher of runs, with an answer where the code server of a run is gone, or knows it no more.

    That launcher asks the server alone to end a run; where nobody answers it raises, and the page shows HTTP 500
    (1.13). A launcher of one's own is set in public, in ``dagster.yaml``; its instance and that error have no public
    names.
    """

    def terminate(self, run_id: str) -> bool:
        """End a run; return whether it ends."""
        try:
            if super().terminate(run_id):
                return True
        except DagsterUserCodeUnreachableError:
            pass
        return self.end_unanswered(self._instance, run_id)

    @abstractmethod
    def end_unanswered(self, instance: dg.DagsterInstance, run_id: str) -> bool:
        """End a run that no server ended, unless its process lives; return whether it has ended so."""


def pools_of_run(run: dg.DagsterRun) -> frozenset[str]:
    """Return the pools that the steps of a run stand in. In public the page of a run alone shows them."""
    return frozenset((run.run_op_concurrency and run.run_op_concurrency.all_pools) or ())


def op_tag_as_requested(instance: dg.DagsterInstance, run: dg.DagsterRun, op_name: str, tag: str) -> str | None:
    """Return a tag that an op of a run had in the code location that the run was asked for by; None where it had none.

    In public a process knows the definitions that it loaded itself. Dagster keeps those that a run was made with.
    """
    if run.job_snapshot_id is None:
        return None
    ops = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.op_def_snaps
    return next((op.tags.get(tag) for op in ops if op.name == op_name), None)


def data_versions(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return partition to the data version of its latest materialisation, in one query.

    The public way reads every event of the asset: half a minute for 100,000 partitions (``data_versions_by_pages``),
    which serves storages that do not have this query.
    """
    storage = instance.event_log_storage
    if not hasattr(storage, "get_latest_tags_by_partition"):
        return data_versions_by_pages(instance, key)
    tags = storage.get_latest_tags_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, [VERSION_TAG])
    return {partition: values[VERSION_TAG] for partition, values in tags.items() if VERSION_TAG in values}


def data_versions_by_pages(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return the same by public means."""
    versions: dict[str, str] = {}
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(key, limit=PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event and event.partition and event.tags:
                versions.setdefault(event.partition, event.tags.get(VERSION_TAG, ""))
        cursor, more = page.cursor, page.has_more
    return versions


def latest_materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Sequence[str]
) -> dict[str, dg.AssetMaterialization]:
    """Return partition to its latest materialisation, of those among ``partitions`` that have one; two queries.

    In public one asks for all events of these partitions, and reads whatever was recorded of them before.
    """
    if not partitions:
        return {}
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind, set(partitions))
    if not ids:
        return {}
    records_filter = dg.AssetRecordsFilter(key, storage_ids=list(ids.values()))
    events = (
        record.asset_materialization
        for record in instance.fetch_materializations(records_filter, limit=len(ids)).records
    )
    return {event.partition: event for event in events if event and event.partition}


def last_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partitions: Sequence[str] | None = None
) -> dict[str, bool | None]:
    """Return partition to whether its last verdict is a pass; None where one was announced and did not come.

    Of all partitions that have a verdict, or of ``partitions`` alone; one query. In public there are the verdicts of
    checks without partitions alone (1.13).
    """
    meaning = {AssetCheckExecutionRecordStatus.SUCCEEDED: True, AssetCheckExecutionRecordStatus.FAILED: False}
    infos = instance.event_log_storage.get_asset_check_partition_info([check], partition_keys=partitions)
    return {info.partition_key: meaning.get(info.latest_execution_status) for info in infos if info.partition_key}


def failed_verdicts(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, most: int
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the latest failed verdicts, the last first, at most so many; see ``last_verdicts``."""
    failed = {AssetCheckExecutionRecordStatus.FAILED}
    for record in instance.event_log_storage.get_asset_check_execution_history(check, most, status=failed):
        if record.evaluation:
            yield record.evaluation


def last_verdict(
    instance: dg.DagsterInstance, check: dg.AssetCheckKey, partition: str
) -> dg.AssetCheckEvaluation | None:
    """Return the last verdict on one partition that was given, whatever was announced since; see ``last_verdicts``."""
    of_partition = PartitionKeyFilter(key=partition)
    evaluated = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(
        check, limit=1, status=evaluated, partition_filter=of_partition
    )
    return records[0].evaluation if records else None


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
