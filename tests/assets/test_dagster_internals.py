"""What we use of Dagster's inside, held against the Dagster that is installed: a change or a mend there fails here."""

import ast
import signal
from pathlib import Path

import dagster as dg
import pytest
from paths import ROOT
from waiting import until

from atlaspatch_assets.dagster_internals import (
    VERDICTS_JOB,
    VERSION_TAG,
    AssetJob,
    CancellingLauncher,
    VerdictRecorder,
    announce_materializations,
    data_versions,
    data_versions_by_pages,
    failed_verdicts,
    give_default_limits,
    last_verdict,
    last_verdicts,
    latest_materializations,
    pools_of_run,
    shield_log_processes,
    storage_kind,
)

KEY = dg.AssetKey("slide")
CHECK = dg.AssetCheckKey(KEY, "processed")
pytestmark = pytest.mark.quick

INSIDE = ("event_log_storage", "run_storage", "_event_storage", "_run_storage", "index_connection")


@pytest.fixture
def instance(tmp_path: Path, open_instance):
    with open_instance(tmp_path) as instance:
        yield instance


def verdict(partition: str, passed: bool, reason: str = "") -> dg.AssetCheckEvaluation:
    metadata = {"reason": reason} if reason else {}
    return dg.AssetCheckEvaluation(
        asset_key=KEY, check_name="processed", passed=passed, partition=partition, metadata=metadata
    )


def reasons(instance: dg.DagsterInstance, most: int = 10) -> list[tuple[str | None, str]]:
    return [(found.partition, str(found.metadata["reason"].value)) for found in failed_verdicts(instance, CHECK, most)]


def test_no_other_module_touches_the_inside_of_dagster():
    for path in (ROOT / "atlaspatch_assets").rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert path.parent.name == "dagster_internals" or not names & set(INSIDE), path


def test_a_run_says_which_pools_its_steps_stand_in(instance):
    @dg.op(pool="gpu")
    def first(): ...

    @dg.op(pool="slide_io", ins={"after": dg.In(dg.Nothing)})
    def second(): ...

    @dg.job
    def job():
        second(first())

    assert pools_of_run(instance.create_run_for_job(job)) == {"gpu", "slide_io"}
    assert pools_of_run(dg.DagsterRun(job_name="job")) == set()


def test_dagster_still_refuses_a_second_verdict_without_a_run(instance):
    """Once this fails, ``VerdictRecorder`` can become ``report_runless_asset_event``."""
    instance.report_runless_asset_event(verdict("a", False, "first"))
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        instance.report_runless_asset_event(verdict("a", True))


def test_verdicts_follow_each_other_in_one_recorder_in_many_and_after_runless_ones(instance):
    instance.report_runless_asset_event(verdict("old", False, "from before"))
    recorder = VerdictRecorder(instance)
    recorder.record([verdict("a", False, "first"), verdict("b", False, "other")])
    recorder.record([verdict("a", True)])
    assert last_verdicts(instance, CHECK) == {"old": False, "a": True, "b": False}
    recorder.record([verdict("a", False, "again")])
    VerdictRecorder(instance).record([verdict("old", True), verdict("a", False, "last")])
    assert last_verdicts(instance, CHECK) == {"old": True, "a": False, "b": False}
    assert reasons(instance, 2) == [("a", "last"), ("a", "again")]
    found = last_verdict(instance, CHECK, "a")
    assert found is not None
    assert found.metadata["reason"].value == "last"
    assert last_verdict(instance, CHECK, "never") is None


def test_of_two_recorders_the_last_verdict_counts(instance):
    one, other = VerdictRecorder(instance), VerdictRecorder(instance)
    one.record([verdict("a", False, "first")])
    other.record([verdict("a", False, "second")])
    one.record([verdict("a", True)])
    assert last_verdicts(instance, CHECK) == {"a": True}


def test_the_runs_of_verdicts_have_ended_and_are_made_with_the_first(instance):
    recorder = VerdictRecorder(instance)
    recorder.record([])
    assert instance.get_runs() == []
    recorder.record([verdict("a", True)])
    recorder.record([verdict("b", True)])
    (run,) = instance.get_runs()
    assert (run.job_name, run.status) == (VERDICTS_JOB, dg.DagsterRunStatus.SUCCESS)


def test_an_announced_partition_shows_its_run_and_fails_with_it(instance):
    slides = dg.DynamicPartitionsDefinition(name="slides")
    instance.add_dynamic_partitions("slides", ["a", "b"])

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def batch() -> None:
        nothing()

    run = instance.create_run_for_job(batch, status=dg.DagsterRunStatus.STARTED)
    announce_materializations(instance, run, "nothing", [KEY], ["a"])
    shown = instance.get_latest_planned_materialization_info(KEY, partition="a")
    assert shown
    assert shown.run_id == run.run_id
    status = instance.get_status_by_partition(KEY, ["a", "b"], slides)
    assert status
    assert (status["a"], status["b"]) == (dg.AssetPartitionStatus.IN_PROGRESS, None)
    instance.report_run_failed(run)
    status = instance.get_status_by_partition(KEY, ["a", "b"], slides)
    assert status
    assert status["a"] is dg.AssetPartitionStatus.FAILED


def test_an_announced_verdict_that_did_not_come_is_none(instance):
    slides = dg.DynamicPartitionsDefinition(name="slides")
    spec = dg.AssetCheckSpec("processed", asset=KEY, partitions_def=slides)

    @dg.multi_asset(specs=[dg.AssetSpec(KEY, skippable=True)], check_specs=[spec], partitions_def=slides)
    def slide(context):
        yield dg.Output(None, output_name=spec.get_python_identifier())

    instance.add_dynamic_partitions("slides", ["a"])
    dg.materialize([slide], instance=instance, partition_key="a")
    assert last_verdicts(instance, CHECK) == {"a": None}
    assert last_verdicts(instance, CHECK, ["b"]) == {}


def test_the_quick_query_of_data_versions_says_what_the_public_way_says(instance):
    for partition, version in (("a", "1"), ("b", "2"), ("a", "3")):
        event = dg.AssetMaterialization(KEY, partition=partition, tags={VERSION_TAG: version})
        instance.report_runless_asset_event(event)
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition="unversioned"))
    assert data_versions(instance, KEY) == {"a": "3", "b": "2"}
    assert data_versions_by_pages(instance, KEY) | {"unversioned": ""} == {"a": "3", "b": "2", "unversioned": ""}


def test_the_latest_materialisations_of_partitions_are_read_at_once(instance):
    for partition, patches in (("a", 4), ("b", 2), ("a", 0), ("c", 1)):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(KEY, partition=partition, metadata={"patches": patches})
        )
    latest = latest_materializations(instance, KEY, ["a", "b", "never"])
    assert {key: event.metadata["patches"].value for key, event in latest.items()} == {"a": 0, "b": 2}
    assert latest_materializations(instance, KEY, ["never"]) == latest_materializations(instance, KEY, []) == {}


def test_pools_get_a_limit_once(tmp_path: Path):
    overrides = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        give_default_limits(instance, ["gpu"])
        assert instance.event_log_storage.get_concurrency_info("gpu").slot_count == 1
        instance.event_log_storage.set_concurrency_slots("gpu", 4)
        give_default_limits(instance, ["gpu"])
        assert instance.event_log_storage.get_concurrency_info("gpu").slot_count == 4


def test_a_job_over_assets_is_of_the_type_that_dagster_does_not_export():
    assert isinstance(dg.define_asset_job("all"), AssetJob)
    assert not hasattr(dg, AssetJob.__name__)


def test_the_storage_of_runs_is_named(instance):
    assert storage_kind(instance) == "SqliteRunStorage"


def test_dagster_still_raises_where_nobody_answers_for_a_run_that_is_cancelled(instance, tmp_path):
    """Once this fails, ``CancellingLauncher`` need not catch it."""

    class Launcher(CancellingLauncher):
        def end_unanswered(self, instance: dg.DagsterInstance, run_id: str) -> bool:
            return instance.get_run_by_id(run_id) is not None

    @dg.job
    def job() -> None: ...

    tags = {".dagster/grpc_info": f'{{"host": "localhost", "socket": "{tmp_path / "gone"}"}}'}
    run_id = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id
    with pytest.raises(Exception, match="Could not reach user code server"):
        instance.run_launcher.terminate(run_id)
    launcher = Launcher()
    launcher.register_instance(instance)
    assert launcher.terminate(run_id)


def test_dagster_still_starts_processes_beside_a_step_that_would_hear_ctrl_c(instance):
    """Once this fails, ``shield_log_processes`` can go."""
    with instance.compute_log_manager.capture_logs(["heard"]):
        assert any(not is_deaf(pid) for pid in children())
    shield_log_processes(instance)
    with instance.compute_log_manager.capture_logs(["shielded"]):
        until("all four are there", lambda: len(children()) == 4)
        assert [is_deaf(pid) for pid in children()] == [True] * 4


def children() -> list[str]:
    """Return the processes that copy what is printed and those that watch them."""
    pids = Path("/proc/self/task").glob("*/children")
    every = [pid for path in pids for pid in path.read_text().split()]
    return [pid for pid in every if any(word in command_of(pid) for word in ("tail", "watch_orphans"))]


def command_of(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def is_deaf(pid: str) -> bool:
    """Tell whether a process blocks SIGINT."""
    blocked = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk"))
    return bool(int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1)
