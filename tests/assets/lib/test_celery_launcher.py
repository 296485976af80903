"""Runs as tasks of Celery: which queue they wait in, which are lost, and how they are cancelled; no worker is there."""

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext  # noqa: TID251

pytest.importorskip("dagster_celery", reason="pip install 'atlaspatch[celery]' for this test")

from atlaspatch_assets.cli import doctor
from atlaspatch_assets.lib import celery_launcher
from atlaspatch_assets.lib.dead_runs import end_dead_runs

STATUS = dg.DagsterRunStatus
QUEUE = "dagster-celery/queue"
TASK = "dagster-celery/task_id"


def instance_on(folder, broker: str) -> dg.DagsterInstance:
    launcher = {
        "module": "atlaspatch_assets.lib.celery_launcher",
        "class": "CeleryLauncher",
        "config": {"broker": broker, "backend": "cache+memory://"},
    }
    return dg.instance_for_test(temp_dir=str(folder), overrides={"run_launcher": launcher})  # pyright: ignore


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setattr(celery_launcher, "SECONDS_TO_ANSWER", (0.05,))
    with instance_on(tmp_path, "memory://") as instance:
        yield instance


@dg.op(pool="gpu_1")
def on_gpu(): ...


@dg.op(pool="slide_io")
def on_disk(): ...


@dg.job
def gpu_job():
    on_gpu()


@dg.job
def disk_job():
    on_disk()


def defs():
    return dg.Definitions(jobs=[gpu_job, disk_job])


def make_run(instance, job=gpu_job, status=STATUS.STARTING, **tags) -> dg.DagsterRun:
    origin = dg.reconstructable(job).get_python_origin()
    return instance.create_run_for_job(job, status=status, tags=tags, job_code_origin=origin)


def launch(instance, job=gpu_job, **tags) -> dg.DagsterRun:
    run = make_run(instance, job, **tags)
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    return now(instance, run)


def now(instance, run) -> dg.DagsterRun:
    return instance.get_run_by_id(run.run_id)


def waiting(instance, queue: str) -> int:
    with instance.run_launcher.celery.connection_for_read() as connection:
        return sum(
            connection.default_channel._size(name) for name in connection.default_channel.queues if name == queue
        )


@pytest.mark.quick
@pytest.mark.parametrize(
    ("job", "tags", "queue"),
    [(gpu_job, {}, "gpu"), (disk_job, {}, None), (gpu_job, {QUEUE: "big_gpu"}, "big_gpu")],
)
def test_a_run_waits_in_the_queue_of_its_pool_or_its_tag(instance, job, tags, queue):
    run = launch(instance, job, **tags)

    assert run.tags.get(QUEUE) == queue
    assert waiting(instance, queue or "dagster") >= 1


def test_a_run_that_waits_for_a_worker_is_not_lost_and_one_that_no_worker_knows_is(instance):
    waits, begun = launch(instance), make_run(instance, status=STATUS.STARTED, **{TASK: "some-task"})

    assert instance.run_launcher.lost_runs([waits, begun]) == {begun.run_id}
    assert [run.run_id for run in end_dead_runs(instance)] == [begun.run_id]
    assert now(instance, begun).status is STATUS.FAILURE
    assert now(instance, waits).status is STATUS.STARTING


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_run_that_is_open_though_its_task_has_ended_is_lost(instance, state):
    run = launch(instance)
    instance.run_launcher.celery.backend.store_result(run.tags[TASK], None, state)

    assert instance.run_launcher.lost_runs([run]) == {run.run_id}


def test_a_run_is_cancelled_that_no_worker_began(instance):
    run = launch(instance)

    assert instance.run_launcher.terminate(run.run_id)
    assert now(instance, run).status is STATUS.CANCELING
    end_dead_runs(instance)
    assert now(instance, run).status is STATUS.CANCELED
    assert not instance.run_launcher.terminate(run.run_id)


def test_nothing_is_told_of_runs_while_the_broker_does_not_answer(tmp_path):
    with instance_on(tmp_path, "redis://127.0.0.1:1/0") as instance:
        run = make_run(instance, status=STATUS.STARTED, **{TASK: "some-task"})

        assert instance.run_launcher.broker_fault()
        assert instance.run_launcher.lost_runs([run]) == set()
        assert end_dead_runs(instance) == []
        (finding,) = doctor._broker_findings(instance)
        assert "the broker of the workers does not answer" in finding.text
