"""Runs on two Celery workers, with Redis and Postgres: each loads its model once; workers, broker, database are killed.

The tests are one story and run in this order.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

import dagster as dg
import pytest
from painting import paint_slide, stain, white
from paths import ROOT
from postgres import PostgresServer, postgres
from processes import run_cli
from project_files import project_text
from redis_server import RedisServer, redis_server
from rounds import SEED, Chance
from server import DagsterDev
from waiting import until

from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_runs import UNFINISHED

pytestmark = pytest.mark.e2e
SLIDES = 200
SLIDES_PER_RUN = 40
"""Five batches: two done, two cut off or held, and one for the worker that comes."""
SECONDS_TO_FINISH = 120.0
ASSETS = ("slide", "tissue_mask", "patch_coords", "patch_features/seeded")
STEMS = [f"slide_{number:03}" for number in range(SLIDES)]
PLUGIN = '''
import os, time
from pathlib import Path
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

HERE = Path(__file__).parent


def seeded():
    """Say who loads it; wait at a patch as long as there is a file that says so."""
    import torch
    from torch.nn import AdaptiveAvgPool2d, Conv2d, Flatten, Module, Sequential

    with (HERE / "loads").open("a") as file:
        file.write(f"{os.getpid()}\\n")

    class Waiting(Module):
        def forward(self, patches):
            while (HERE / "hold").exists():
                (HERE / f"held-{os.getpid()}").touch()
                time.sleep(0.05)
            return patches

    torch.manual_seed(0)
    return Sequential(Waiting(), Conv2d(3, 8, 16, stride=16), AdaptiveAvgPool2d(1), Flatten())


RGB = Transform(resize=None, crop=None, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
PATCH_ENCODERS = [
    PatchEncoder(name="seeded", architecture=Built(seeded), source=BuiltIn(), dim=8, transform=RGB, license="CC0-1.0")
]
'''


@dataclass(slots=True)
class Fleet:
    """A project, its Dagster, and its workers."""

    folder: Path
    dev: DagsterDev
    instance: dg.DagsterInstance
    database: PostgresServer
    broker: RedisServer
    workers: list[subprocess.Popen] = field(default_factory=list)
    started: int = 0
    """Workers."""

    def start_worker(self) -> None:
        """Start a worker of one GPU, as its unit in ``deploy/celery`` does."""
        number, self.started = self.started, self.started + 1
        name = f"gpu{number}@%h"
        words = ["-A", "atlaspatch_assets.lib.celery_app", "worker", "-Q", "gpu", "--concurrency", "1", "-n"]
        with (self.folder / f"worker{number}.log").open("ab") as log:
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "celery", *words, name],
                    cwd=self.folder,
                    env=self.dev.environment | {"CUDA_VISIBLE_DEVICES": str(number)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def ask(self, query: str, **variables: object) -> dict:
        """Return the one field of an answer. Raises AssertionError where it is an error."""
        (answer,) = self.dev.ask(query, **variables).values()
        assert "Error" not in answer["__typename"], answer
        return answer

    def stop_sensor(self, name: str) -> None:
        """Have a sensor look no more."""
        selector = {"sensorName": name, "repositoryName": "__repository__", "repositoryLocationName": "atlaspatch"}
        sensor = self.ask(
            "query ($it: SensorSelector!) { sensorOrError(sensorSelector: $it) { __typename ... on Sensor { id } } }",
            it=selector,
        )
        self.ask("mutation ($it: String!) { stopSensor(id: $it) { __typename } }", it=sensor["id"])

    def backfill(self) -> str:
        """Launch what a person launches from the page of the assets, over all slides; return its id."""
        query = """mutation ($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
        keys = [{"path": asset.split("/")} for asset in ASSETS]
        return self.ask(query, it={"assetSelection": keys, "partitionNames": STEMS})["backfillId"]

    def backfill_if_it_answers(self) -> str | None:
        """Launch the same; None where the web server's connections are those to a database that ended."""
        try:
            return self.backfill()
        except HTTPError:
            return None

    def launch(self, stems: list[str]) -> str:
        """Launch a run that makes these slides anew whatever lies there; return its id."""
        query = """mutation ($it: ExecutionParams!) { launchRun(executionParams: $it) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        names = ProjectNames().slides
        selector = {
            "jobName": names.job_name,
            "repositoryName": "__repository__",
            "repositoryLocationName": "atlaspatch",
        }
        tags = [{"key": "dagster/partition", "value": stems[0]}]
        params = {
            "selector": selector,
            "runConfigData": names.config(stems, force=True),
            "executionMetadata": {"tags": tags},
        }
        return self.ask(query, it=params)["run"]["runId"]

    def run(self, run_id: str) -> dg.DagsterRun:
        """Return a run as it is now."""
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run

    def runs(self, backfill: str, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """Return the runs of a backfill that have one of these statuses."""
        filters = dg.RunsFilter(tags={"dagster/backfill": backfill}, statuses=list(statuses) or None)
        return list(self.instance.get_runs(filters=filters))

    def workers_of(self, backfill: str, *statuses: dg.DagsterRunStatus) -> int:
        """Return how many processes ran these runs."""
        kind = dg.DagsterEventType.LOGS_CAPTURED
        logs = (self.instance.all_logs(run.run_id, of_type=kind) for run in self.runs(backfill, *statuses))
        return len({entry.user_message for entries in logs for entry in entries})

    def landed(self) -> Counter[str]:
        """Return asset to how many slides have it."""
        return Counter(
            {asset: len(self.instance.get_materialized_partitions(dg.AssetKey(asset.split("/")))) for asset in ASSETS}
        )

    def results(self) -> dict[Path, int]:
        """Return the files of results, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in (self.folder / "output").rglob("*.h5")}

    def loads(self) -> Counter[str]:
        """Return process to how often it loaded the model."""
        path = self.folder / "loads"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def wait(self, backfill: str, failed: int = 0) -> None:
        """Wait until all runs of a backfill have succeeded, but for so many that failed and were done again.

        Of the backfill itself Dagster says so half a minute later.
        """
        batches = SLIDES // SLIDES_PER_RUN

        def look() -> bool:
            if self.runs(backfill, *UNFINISHED):
                return False
            assert len(self.runs(backfill, dg.DagsterRunStatus.FAILURE)) <= failed
            return len(self.runs(backfill, dg.DagsterRunStatus.SUCCESS)) == batches

        until("the backfill ends", look, pause=0.5)

    def wait_until_idle(self) -> None:
        """Wait until no run is left, nor one that is to be started again."""

        def look() -> bool:
            self.restart_workers()
            if self.instance.get_runs(filters=dg.RunsFilter(statuses=list(UNFINISHED))):
                return False
            failed = self.instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
            due = [run for run in failed if run.tags.get("dagster/will_retry") == "true"]
            return all("dagster/auto_retry_run_id" in run.tags for run in due)

        until("nothing runs", look, pause=1.0)

    def restart_workers(self) -> None:
        """Start a worker again that ended, as its unit does."""
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            self.workers.remove(worker)
            self.start_worker()

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    tmp_path = tmp_path_factory.mktemp("fleet")
    pytest.importorskip("dagster_celery", reason="pip install 'atlaspatch[celery]' for this test")
    (tmp_path / "slides").mkdir()
    (tmp_path / "home").mkdir()
    shutil.copy(ROOT / "deploy" / "celery" / "dagster.yaml", tmp_path / "home")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    geometry = 'patch_encoders = ["seeded"]\nprecision = "float32"'
    text = project_text(geometry=geometry, runtime=f"threads = 1\nread_workers = 1\nslides_per_run = {SLIDES_PER_RUN}")
    (tmp_path / "atlaspatch.toml").write_text(f'plugins = ["plugin.py"]\n{text}')
    for number, stem in enumerate(STEMS):
        colour = 150 + number % 100, 60 + number // 10, 140
        paint_slide(tmp_path / "slides" / f"{stem}.svs", stain(white(512, 512), 0, 0, 256, 256, colour))
    with (
        postgres() as database,
        redis_server() as broker,
        pytest.MonkeyPatch.context() as patch,
    ):
        variables = {**database.variables, "ATLASPATCH_BROKER": broker.url, "PYTHONPATH": str(ROOT)}
        for variable, value in variables.items():
            patch.setenv(variable, value)
        dev = DagsterDev(tmp_path / "home", tmp_path / "atlaspatch.toml", variables=variables)
        with dev, dg.DagsterInstance.from_config(str(dev.home)) as instance:
            it = Fleet(tmp_path, dev, instance, database, broker)
            try:
                yield it
            finally:
                it.stop()


def test_a_worker_that_is_killed_loses_nothing_and_each_loads_its_model_once(fleet):
    status = dg.DagsterRunStatus
    fleet.stop_sensor("new_slides")
    fleet.instance.add_dynamic_partitions("slides", STEMS)
    began = time.monotonic()
    for _ in range(2):
        fleet.start_worker()
    backfill = fleet.backfill()
    until("both workers did a batch", lambda: fleet.workers_of(backfill, status.SUCCESS) == 2, pause=0.5)
    (fleet.folder / "hold").touch()
    until("both are amid a batch", lambda: len(list(fleet.folder.glob("held-*"))) == 2, pause=0.5)
    held = fleet.runs(backfill, status.STARTED)

    killed_at = time.monotonic()
    os.killpg(fleet.workers.pop(0).pid, signal.SIGKILL)
    (fleet.folder / "hold").unlink()
    fleet.start_worker()
    (cut_off,) = until("the dead run is found", lambda: fleet.runs(backfill, status.FAILURE), pause=0.5)
    found_after = time.monotonic() - killed_at
    assert cut_off.run_id in {run.run_id for run in held}

    def again() -> list[dg.DagsterRun]:
        group = fleet.instance.get_run_group(cut_off.run_id)
        return [run for run in (group[1] if group else ()) if run.status is status.SUCCESS]

    until("its batch is finished", again, pause=0.5)
    finished_after = time.monotonic() - killed_at
    assert finished_after < SECONDS_TO_FINISH
    fleet.wait(backfill, failed=1)
    took = time.monotonic() - began
    print(f"found {found_after:.0f} s, finished {finished_after:.0f} s after the kill, all in {took:.0f} s")
    assert fleet.landed() == Counter(dict.fromkeys(ASSETS, SLIDES))
    assert list(fleet.loads().values()) == [1, 1, 1]


def test_a_second_launch_finds_nothing_to_do(fleet):
    computed = fleet.results()
    assert len(computed) >= SLIDES
    fleet.wait(fleet.backfill())
    assert fleet.results() == computed
    assert list(fleet.loads().values()) == [1, 1, 1]


def test_a_run_that_is_cancelled_stops_and_is_not_started_again(fleet):
    for mark in fleet.folder.glob("held-*"):
        mark.unlink()
    (fleet.folder / "hold").touch()
    run_id = fleet.launch(STEMS[:1])
    until("it is amid its slide", lambda: list(fleet.folder.glob("held-*")), pause=0.5)

    fleet.ask("mutation ($it: String!) { terminateRun(runId: $it) { __typename } }", it=run_id)
    until("it has ended", lambda: fleet.run(run_id).is_finished, pause=0.5)
    (fleet.folder / "hold").unlink()

    assert fleet.run(run_id).status is dg.DagsterRunStatus.CANCELED
    assert "dagster/will_retry" not in fleet.run(run_id).tags
    again = fleet.launch(STEMS[:1])
    until("the next one is done", lambda: fleet.run(again).is_finished, pause=0.5)
    assert fleet.run(again).status is dg.DagsterRunStatus.SUCCESS


def test_broker_and_database_that_are_killed_at_random_moments_lose_nothing(fleet):
    chance = Chance(int(SEED or 1))
    made = fleet.results()
    for path in chance.sample(sorted(made), len(made) // 2):
        path.unlink()
    left = fleet.results()
    for start in range(0, SLIDES, SLIDES_PER_RUN):
        fleet.launch(STEMS[start : start + SLIDES_PER_RUN])
    until("all of it is given out", lambda: fleet.results() != left, pause=0.2)
    for kill, start in chance.sample(
        [(fleet.broker.kill, fleet.broker.start), (fleet.database.cut_off, fleet.database.start)] * 2, 4
    ):
        time.sleep(chance.uniform(0, 6))
        kill()
        time.sleep(chance.uniform(0.2, 4))
        start()
        fleet.restart_workers()
    print(f"killed by seed {chance.number}; again: ATLASPATCH_SEED={chance.number}")

    fleet.wait_until_idle()
    fleet.wait(until("the web server reaches the database", fleet.backfill_if_it_answers, pause=0.5))

    assert fleet.results().keys() == made.keys()
    assert fleet.landed() == Counter(dict.fromkeys(ASSETS, SLIDES))
    audited = run_cli("audit", str(fleet.folder / "output"))
    assert audited.returncode == 0, audited.stdout
