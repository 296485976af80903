"""Runs whose process was killed: known by their lock, ended with a reason, and asked for again."""

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner
from gated_projects import PLUGIN
from processes import run_cli, start_cli, start_code
from project_files import project_text
from server import refusing_port
from small_projects import paint, project
from waiting import until
from web_ui import cancel_in_web_ui

from atlaspatch_assets.cli.doctor import dagster_findings
from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.definitions import build_definitions, build_project
from atlaspatch_assets.defs.validity.needs import project_needs
from atlaspatch_assets.lib import dead_runs
from atlaspatch_assets.lib.dead_runs import DeadRun, end_dead_runs
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.run_executor import locked_jobs, run_executor
from atlaspatch_assets.lib.run_locks import MACHINE_TAG, STEP_MACHINE_TAG, hold_step_lock, lock_path, this_machine

HOLD_LOCK = """
import sys, time
import dagster as dg
from atlaspatch_assets.lib.run_locks import hold_run_lock
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    hold_run_lock(instance, sys.argv[2])
    print("locked", flush=True)
    time.sleep(600)
"""
GRPC_INFO = ".dagster/grpc_info"
PROJECT = 'plugins = ["plugin.py"]\n' + project_text(geometry='slide_encoders = ["gated"]')


@dg.job
def some_job() -> None:
    """Stand for any job."""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return dagster_home()


@pytest.fixture
def instance(home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def open_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, **tags: str
) -> str:
    return instance.create_run_for_job(some_job, status=status, tags=tags).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def leave_lock(instance: dg.DagsterInstance, run_id: str) -> None:
    """Leave the lock file of a process that is gone."""
    lock_path(instance, run_id).parent.mkdir(parents=True, exist_ok=True)
    lock_path(instance, run_id).touch()


def test_a_run_is_dead_once_its_process_was_killed_and_not_before(instance, home):
    run_id = open_run(instance, **{MACHINE_TAG: this_machine()})
    process = start_code(HOLD_LOCK, home, run_id)
    assert process.stdout.readline() == "locked\n"

    assert end_dead_runs(instance) == []
    process.kill()
    process.wait()

    assert end_dead_runs(instance) == [DeadRun(run_id, "some_job", "STARTED")]
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE
    (failure,) = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)]
    assert "ended without a word" in failure.message  # pyright: ignore
    assert end_dead_runs(instance) == []
    assert not lock_path(instance, run_id).exists()


def test_a_dead_run_is_started_again_however_often_it_was_cut_off(instance):
    """Dagster's daemon starts again what has the tag ``will_retry``; eight times, and not for ever."""
    run_id = open_run(instance, **{MACHINE_TAG: this_machine()})
    group, root = [run_id], run_id
    for _ in range(dead_runs.MOST_REPEATS + 1):
        leave_lock(instance, run_id)
        end_dead_runs(instance)
        family = {"root_run_id": root, "parent_run_id": run_id}
        tags = {f"dagster/{name}": value for name, value in family.items()} | {MACHINE_TAG: this_machine()}
        status = dg.DagsterRunStatus.STARTED
        run = instance.create_run_for_job(some_job, status=status, tags=tags, **family)
        run_id = run.run_id
        group.append(run_id)

    again = [instance.get_run_by_id(each).tags.get("dagster/will_retry") for each in group]  # pyright: ignore
    assert again == ["true"] * dead_runs.MOST_REPEATS + ["false", None]


@pytest.mark.quick
def test_a_run_that_was_to_be_cancelled_is_cancelled(instance):
    run_id = open_run(instance, dg.DagsterRunStatus.CANCELING)
    leave_lock(instance, run_id)

    assert [run.run_id for run in end_dead_runs(instance)] == [run_id]
    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("machine", "dead"), [("elsewhere (boot 01234567)", False), (this_machine(), True), (socket.gethostname(), True)]
)
def test_only_runs_of_this_machine_are_judged(instance, machine, dead):
    with_lock, without_lock = (open_run(instance, **{MACHINE_TAG: machine}) for _ in range(2))
    leave_lock(instance, with_lock)

    assert {run.run_id for run in end_dead_runs(instance)} == ({with_lock, without_lock} if dead else set())


def test_locks_of_another_container_that_are_not_seen_prove_nothing(instance):
    boot = this_machine().partition(" ")[2]
    run_id = open_run(instance, **{MACHINE_TAG: f"other-container {boot}"})

    assert end_dead_runs(instance) == []
    leave_lock(instance, run_id)
    assert len(end_dead_runs(instance)) == 1


def test_a_run_without_a_lock_is_dead_once_its_code_server_is_gone(instance, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        place = {GRPC_INFO: f'{{"host": "localhost", "socket": "{tmp_path / "s"}"}}'}
        run_ids = [open_run(instance, dg.DagsterRunStatus.STARTING, **place), open_run(instance, **place)]
        monkeypatch.setattr(dead_runs, "SECONDS_TO_LOAD", -1.0)

        assert end_dead_runs(instance, {"some_job"}) == []

    monkeypatch.setattr(dead_runs, "SECONDS_TO_LOAD", 30.0)
    assert end_dead_runs(instance, {"some_job"}) == [], "it may be loading its definitions"
    monkeypatch.setattr(dead_runs, "SECONDS_TO_LOAD", -1.0)
    assert end_dead_runs(instance, {"another_job"}) == [], "runs of other code locations never have a lock"
    assert {run.run_id for run in end_dead_runs(instance, {"some_job"})} == set(run_ids)


def test_of_other_launchers_nothing_is_said(home):
    settings = home / "dagster.yaml"
    launcher = {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    }
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | {"run_launcher": launcher}))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run_id = open_run(instance)
        leave_lock(instance, run_id)

        assert end_dead_runs(instance) == []


@pytest.mark.parametrize("locked_once", [True, False])
def test_cancelling_a_run_whose_process_is_gone_ends_it(instance, tmp_path, locked_once):
    run_id = open_run(instance, **{GRPC_INFO: f'{{"host": "localhost", "socket": "{tmp_path / "gone"}"}}'})
    if locked_once:
        leave_lock(instance, run_id)

    assert cancel_in_web_ui(instance, run_id) == "TerminateRunSuccess"

    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELED
    assert end_dead_runs(instance) == []


def test_cancelling_a_run_whose_process_lives_leaves_it_to_that(instance, home, tmp_path):
    run_id = open_run(instance, **{GRPC_INFO: f'{{"host": "localhost", "socket": "{tmp_path / "gone"}"}}'})
    process = start_code(HOLD_LOCK, home, run_id)
    assert process.stdout.readline() == "locked\n"

    assert cancel_in_web_ui(instance, run_id) == "TerminateRunFailure"
    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELING
    process.kill()
    process.wait()

    assert cancel_in_web_ui(instance, run_id) == "TerminateRunFailure", "it is being cancelled already"
    assert len(end_dead_runs(instance)) == 1
    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELED


def test_a_run_of_another_machine_is_not_cancelled_from_here(instance, tmp_path):
    place = f'{{"host": "localhost", "socket": "{tmp_path / "gone"}"}}'
    run_id = open_run(instance, **{GRPC_INFO: place, MACHINE_TAG: "elsewhere (boot 01234567)"})
    leave_lock(instance, run_id)

    assert cancel_in_web_ui(instance, run_id) == "TerminateRunFailure"
    assert status_of(instance, run_id) is dg.DagsterRunStatus.CANCELING


def test_every_job_of_a_project_locks_its_runs(tmp_path):
    paint(tmp_path / "slides", "a")
    table = tmp_path / "cases.csv"
    table.write_text("case_id,slide_path\none,slides/a.svs\n")
    geometry = {"patch_size": 256, "target_mag": 20, "patch_encoders": ["efficientnet_lite0"]}
    patients = {"manifest": table, "encoders": ["mean-efficientnet_lite0"]}
    repository = build_definitions(project(tmp_path, geometry=[geometry], patients=patients)).get_repository_def()

    jobs = {job.name for job in repository.get_all_jobs()}
    assert len(jobs) > 10
    assert locked_jobs(repository) == jobs


def test_jobs_of_a_project_lock_their_runs_in_a_deployment_with_another_executor(tmp_path):
    paint(tmp_path / "slides", "a")
    definitions = build_project(project(tmp_path))
    deployment = dg.Definitions.merge(definitions, dg.Definitions(executor=dg.multiprocess_executor))
    repository = deployment.get_repository_def()

    jobs = {job.name for job in repository.get_all_jobs()}
    assert jobs - locked_jobs(repository) == {"__ASSET_JOB"}


HOLD_STEP_LOCK = """
import sys, time
import dagster as dg
from atlaspatch_assets.lib.run_locks import hold_step_lock
with dg.DagsterInstance.from_config(sys.argv[1]) as instance, hold_step_lock(instance, sys.argv[2], "look"):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_step_is_dead_once_its_process_was_killed_and_not_before(instance, home):
    run_id = open_run(instance)
    process = start_code(HOLD_STEP_LOCK, home, run_id)
    assert process.stdout.readline() == "locked\n"

    assert end_dead_runs(instance) == []
    process.kill()
    process.wait()

    assert [run.run_id for run in end_dead_runs(instance)] == [run_id]
    assert list(lock_path(instance, "any").parent.iterdir()) == []


def test_a_run_from_an_asset_page_locks_its_step_under_another_executor(instance, tmp_path):
    paint(tmp_path / "slides", "a")
    instance.add_dynamic_partitions("slides", ["a"])
    definitions = dg.Definitions.merge(
        build_project(project(tmp_path)), dg.Definitions(executor=dg.in_process_executor)
    )

    job = definitions.resolve_implicit_global_asset_job_def()
    run_id = job.execute_in_process(instance=instance, partition_key="a").run_id

    names = {path.name for path in lock_path(instance, run_id).parent.iterdir()}
    assert names == {f"{run_id}.slides_to_embeddings.{kind}" for kind in ("lock", "ended")}
    end_dead_runs(instance)
    assert list(lock_path(instance, run_id).parent.iterdir()) == []


@pytest.mark.parametrize("divisor", [1, 0])
def test_a_step_that_ended_or_raised_is_not_dead(instance, divisor):
    run_id = open_run(instance)
    with suppress(ZeroDivisionError), hold_step_lock(instance, run_id, "look"):
        assert dead_runs.dead_runs(instance) == []
        _ = 1 // divisor
    assert dead_runs.dead_runs(instance) == []


def leave_step_lock(instance: dg.DagsterInstance, run_id: str, step: str, machine: str) -> None:
    """Leave the lock file of a step whose process is gone."""
    lock_path(instance, run_id).parent.mkdir(parents=True, exist_ok=True)
    lock_path(instance, f"{run_id}.{step}").touch()
    instance.add_run_tags(run_id, {STEP_MACHINE_TAG: machine})


def test_a_dead_step_of_this_machine_is_the_death_of_its_run(instance):
    here, elsewhere = open_run(instance), open_run(instance)
    leave_step_lock(instance, here, "look", this_machine())
    leave_step_lock(instance, elsewhere, "look", "elsewhere (boot 01234567)")

    assert [run.run_id for run in dead_runs.dead_runs(instance)] == [here]


def test_a_run_that_saw_the_death_of_its_step_goes_on(instance):
    @dg.op
    def a_dies() -> None:
        raise dg.Failure("its process was killed")

    @dg.op
    def b_goes_on(context: dg.OpExecutionContext) -> None:
        leave_step_lock(context.instance, context.run_id, "a_dies", this_machine())
        assert dead_runs.dead_runs(context.instance) == []
        leave_step_lock(context.instance, context.run_id, "c_dies", this_machine())
        assert [run.run_id for run in dead_runs.dead_runs(context.instance)] == [context.run_id]

    @dg.job
    def job() -> None:
        a_dies()
        b_goes_on()

    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["a_dies"]


def make_observed_job() -> dg.JobDefinition:
    @dg.op
    def look(context: dg.OpExecutionContext) -> None:
        tag = context.instance.get_run_by_id(context.run_id).tags[MACHINE_TAG]  # pyright: ignore
        assert tag == this_machine()
        assert dead_runs.dead_runs(context.instance) == []
        assert lock_path(context.instance, context.run_id).exists()

    @dg.job(executor_def=run_executor)
    def observed_job() -> None:
        look()

    return observed_job


def test_a_run_has_its_lock_while_its_steps_run_and_until_it_has_ended(instance):
    job = dg.reconstructable(make_observed_job)
    with dg.execute_job(job, instance, raise_on_error=True) as first:
        assert first.success
    assert lock_path(instance, first.run_id).exists()
    with dg.execute_job(job, instance, raise_on_error=True) as second:
        assert second.success
    end_dead_runs(instance)
    assert not lock_path(instance, first.run_id).exists()


def make_failing_job() -> dg.JobDefinition:
    @dg.op(config_schema={"failed": dg.Field(str, is_required=False)})
    def fail(context: dg.OpExecutionContext) -> None:
        if failed := context.op_config.get("failed"):
            raise dg.Failure(failed, allow_retries=False)
        raise ConnectionError("the database went away")

    @dg.job(executor_def=run_executor)
    def failing_job() -> None:
        fail()

    return failing_job


@pytest.mark.parametrize(("config", "will_retry"), [({}, "true"), ({"failed": "2 of 40 slides failed"}, "false")])
def test_only_a_run_that_does_not_say_what_failed_is_started_again(instance, config, will_retry):
    job, run_config = dg.reconstructable(make_failing_job), {"ops": {"fail": {"config": config}}}
    with dg.execute_job(job, instance, run_config=run_config) as result:
        run = instance.get_run_by_id(result.run_id)
    assert run
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert run.tags.get("dagster/will_retry", "false") == will_retry


@pytest.mark.e2e
def test_a_killed_command_leaves_a_run_that_doctor_names_and_a_command_ends(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    (tmp_path / "gate").touch()
    paint(tmp_path / "slides", "a", "b")
    environment = {"DAGSTER_HOME": str(home)}
    process = start_cli("materialize", folder=tmp_path, environment=environment)
    until("it is at the gate", lambda: (tmp_path / "reached").exists() or process.poll() is not None)
    early = CliRunner().invoke(cli, ["end-dead-runs"], catch_exceptions=False)
    assert early.output == "0 dead runs ended\n"
    process.send_signal(signal.SIGKILL)
    process.wait()

    findings = [finding for finding in dagster_findings() if finding.name == "dagster runs"]
    listed = run_cli("end-dead-runs", "--dry-run", folder=tmp_path, environment=environment)
    ended = CliRunner().invoke(cli, ["end-dead-runs"])

    assert "1 runs are STARTED and their processes are gone" in findings[0].text
    assert listed.stdout.splitlines()[-1] == "1 dead run"
    assert ended.output.splitlines()[-1] == "1 dead run ended"
    assert [finding for finding in dagster_findings() if finding.name == "dagster runs"] == []


def test_the_sensor_ends_dead_runs_and_names_them(instance, tmp_path):
    paint(tmp_path / "slides", "a")
    definitions = build_definitions(project(tmp_path))
    run_id = open_run(instance)
    leave_lock(instance, run_id)
    sensor = definitions.resolve_sensor_def("end_dead_runs")

    with dg.build_sensor_context(instance, definitions=definitions, sensor_name="end_dead_runs") as context:
        first, second = sensor.evaluate_tick(context), sensor.evaluate_tick(context)

    assert run_id in str(first.skip_message)
    assert second.skip_message == "no run of this machine is dead"
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_port_that_is_taken_by_nobody_is_a_code_server_that_is_gone(instance):
    unknown = instance.create_run_for_job(some_job, tags={GRPC_INFO: '{"host": "nowhere.invalid", "port": 4000}'})
    with refusing_port() as port:
        place = f'{{"host": "127.0.0.1", "port": {port}}}'
        run = instance.create_run_for_job(some_job, tags={GRPC_INFO: place})

        assert dead_runs.code_server_answers(run) is False
    assert dead_runs.code_server_answers(unknown) is None
    assert dead_runs.code_server_answers(instance.create_run_for_job(some_job)) is None


def test_a_dead_run_is_among_what_needs_a_person(tmp_path, instance):
    run_id = open_run(instance, **{MACHINE_TAG: this_machine()})

    (need,) = project_needs(ProjectNames.of(project(tmp_path)), instance, [], {}, ())
    assert (need.kind, need.stems, need.outputs) == ("stuck", (run_id,), ("some_job",))
    end_dead_runs(instance)
    assert project_needs(ProjectNames.of(project(tmp_path)), instance, [], {}, ()) == ()
