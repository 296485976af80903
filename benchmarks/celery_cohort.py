"""``python -m benchmarks.celery_cohort``: tiny slides through Celery, Redis and Postgres on this machine.

Against one process without Dagster on a sample of the same slides; the web UI is asked meanwhile.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import click
import dagster as dg
import psycopg2

from benchmarks.measuring import Measure

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

from painting import paint_slide, stain, white  # noqa: E402
from plugins import TINY_ENCODER  # noqa: E402
from postgres import postgres  # noqa: E402
from processes import ATLASPATCH  # noqa: E402
from project_files import project_text  # noqa: E402
from redis_server import redis_server  # noqa: E402
from server import DagsterDev  # noqa: E402

ASSETS = ("slide", "tissue_mask", "patch_coords", "patch_features/tiny")
LAST = dg.AssetKey(ASSETS[-1].split("/"))
SECONDS_BETWEEN = 2.0
"""Of two questions to the web server."""
STATUSES = """{ assetNodeOrError(assetKey: {path: ["patch_features", "tiny"]}) { __typename ... on AssetNode {
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions } } } } }"""
LAUNCH = """mutation ($it: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $it) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STOP = """mutation ($it: String!) { stopSensor(id: $it) { __typename } }"""
SENSOR = """{ sensorOrError(sensorSelector: {sensorName: "new_slides", repositoryName: "__repository__",
    repositoryLocationName: "atlaspatch"}) { ... on Sensor { id } } }"""


def paint(folder: Path, count: int) -> list[str]:
    """Write slides of the same pixels whose contents differ by the bytes after the last page; return their stems."""
    folder.mkdir(parents=True)
    slide = paint_slide(folder.with_name("first.svs"), stain(white(512, 512), 0, 0, 256, 256), compression="jpeg")
    content = slide.read_bytes()
    stems = [f"slide_{number:06}" for number in range(count)]
    for stem in stems:
        (folder / f"{stem}.svs").write_bytes(content + stem.encode())
    return stems


def write_project(folder: Path, slides_per_run: int) -> Path:
    """Write a project of the folder ``slides`` beside it, with an encoder that takes no time."""
    (folder / "plugin.py").write_text(TINY_ENCODER)
    runtime = f"threads = 1\nread_workers = 1\nslides_per_run = {slides_per_run}"
    text = project_text(geometry='patch_encoders = ["tiny"]\nprecision = "float32"', runtime=runtime)
    path = folder / "atlaspatch.toml"
    path.write_text(f'plugins = ["plugin.py"]\n{text}')
    return path


def seconds_alone(folder: Path, count: int, slides_per_run: int) -> float:
    """Return what one process takes for so many of the slides, without Dagster."""
    paint(folder / "slides", count)
    project = write_project(folder, slides_per_run)
    start = perf_counter()
    command = [sys.executable, "-c", ATLASPATCH, "materialize", "--project", str(project), "--shard", "1/1"]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return perf_counter() - start


@contextmanager
def worker(folder: Path, environment: dict[str, str], number: int) -> Iterator[None]:
    """Run a worker as its unit in ``deploy/celery`` does."""
    words = ["-A", "atlaspatch_assets.lib.celery_app", "worker", "-Q", "gpu", "--concurrency", "1", "-n"]
    command = [sys.executable, "-m", "celery", *words, f"gpu{number}@%h"]
    with (folder / f"worker{number}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


@dataclass(slots=True)
class Watcher:
    """Asks the web server for the state of all slides, as a page that is open does."""

    dev: DagsterDev
    seconds: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Ask until it is ended."""
        while not self.ended.wait(SECONDS_BETWEEN):
            start = perf_counter()
            self.dev.ask(STATUSES)
            self.seconds.append(perf_counter() - start)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask in a thread for as long as this lasts."""
        thread = threading.Thread(target=self.watch)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join()


@dataclass(frozen=True, slots=True)
class Cohort:
    """Slides of a project, and the Dagster that makes them."""

    dev: DagsterDev
    instance: dg.DagsterInstance
    stems: list[str]

    def seconds_of_backfill(self, runs: int) -> float:
        """Return the seconds from a launch over all slides until so many runs of it have succeeded."""
        keys = [{"path": asset.split("/")} for asset in ASSETS]
        start = perf_counter()
        answer: dict[str, Any] = self.dev.ask(LAUNCH, it={"assetSelection": keys, "partitionNames": self.stems})
        tags = {"dagster/backfill": answer["launchPartitionBackfill"]["backfillId"]}
        while self.count(tags, dg.DagsterRunStatus.SUCCESS) < runs:
            if self.count(tags, dg.DagsterRunStatus.FAILURE):
                raise RuntimeError("a run failed")
            sleep(0.5)
        return perf_counter() - start

    def count(self, tags: dict[str, str], status: dg.DagsterRunStatus) -> int:
        """Return how many runs have these tags and this status."""
        return self.instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=[status]))


def table_bytes(variables: dict[str, str]) -> int:
    """Return the bytes of all tables and indices of the database."""
    names = {"host": "HOST", "port": "PORT", "user": "USERNAME", "dbname": "DB"}
    where = " ".join(f"{word}={variables[f'DAGSTER_PG_{name}']}" for word, name in names.items())
    with psycopg2.connect(where) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables")
        (size,) = cursor.fetchone() or (0,)
    return int(size)


@contextmanager
def cohort(folder: Path, count: int, slides_per_run: int, workers: int) -> Iterator[tuple[Cohort, dict[str, str]]]:
    """Give painted slides in a Dagster with so many workers; the sensor does not look."""
    stems = paint(folder / "slides", count)
    (folder / "home").mkdir()
    shutil.copy(ROOT / "deploy" / "celery" / "dagster.yaml", folder / "home")
    project = write_project(folder, slides_per_run)
    with ExitStack() as stack:
        database, broker = stack.enter_context(postgres()), stack.enter_context(redis_server())
        variables = {**database.variables, "ATLASPATCH_BROKER": broker.url, "PYTHONPATH": str(ROOT)}
        os.environ |= variables
        dev = stack.enter_context(DagsterDev(folder / "home", project, variables=variables))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(dev.home)))
        dev.ask(STOP, it=dev.ask(SENSOR)["sensorOrError"]["id"])
        instance.add_dynamic_partitions("slides", stems)
        for number in range(workers):
            stack.enter_context(worker(folder, dev.environment, number))
        yield Cohort(dev, instance, stems), variables


def measures(folder: Path, slides: int, workers: int, slides_per_run: int, sample: int) -> Iterator[Measure]:
    """Yield slides a second, bytes of events, and seconds of the web server's answers."""
    detail = {"slides": slides, "workers": workers, "slides_per_run": slides_per_run}
    alone = seconds_alone(folder / "alone", sample, slides_per_run) / sample
    yield Measure("one_process", 1 / alone, "", "slides/s", {"slides": sample, "load": os.getloadavg()[0]})
    with cohort(folder / "celery", slides, slides_per_run, workers) as (it, variables):
        before, watcher = table_bytes(variables), Watcher(it.dev)
        with watcher.watching():
            taken = it.seconds_of_backfill(-(-slides // slides_per_run))
        landed = len(it.instance.get_materialized_partitions(LAST))
        told = detail | {"seconds": round(taken, 1), "materialised": landed, "load": os.getloadavg()[0]}
        yield Measure("celery", landed / taken, "", "slides/s", told)
        yield Measure("celery_against_one_process", landed / taken * alone, "", "ratio", detail)
        yield Measure("event_log", (table_bytes(variables) - before) / slides / 1000, "", "kB/slide", detail)
        asked = {"questions": len(watcher.seconds)}
        yield Measure("web_ui_median", median(watcher.seconds), "", "seconds", detail | asked)
        yield Measure("web_ui_worst", max(watcher.seconds), "< 10 s", "seconds", detail | asked)
        again = it.seconds_of_backfill(-(-slides // slides_per_run))
        yield Measure("launched_again", again, "", "seconds", detail)


@click.command()
@click.option("--slides", default=10_000, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--slides-per-run", default=128, show_default=True)
@click.option("--sample", default=500, show_default=True, help="Slides that one process takes alone.")
def main(slides: int, workers: int, slides_per_run: int, sample: int) -> None:
    """Print one JSON line per measure."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for measure in measures(Path(folder), slides, workers, slides_per_run, min(sample, slides)):
            click.echo(measure.line())


if __name__ == "__main__":
    main()
