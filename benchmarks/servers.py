"""``python -m benchmarks.servers``: memory and answers of Dagster's processes with many partitions."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import dagster as dg

from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.names import ProjectNames
from benchmarks.measuring import Measure

PORT = 3977
PROJECT = 'output = "output"\n[slides]\nfolders = ["slides"]\n[[geometry]]\npatch_size = 256\ntarget_mag = 20\n'
QUERIES = {
    "partition_stats": '{ assetNodeOrError(assetKey: {path: ["slide"]}) { ... on AssetNode { partitionStats '
    "{ numPartitions numMaterialized } } } }",
    "partition_statuses": '{ assetNodeOrError(assetKey: {path: ["slide"]}) { ... on AssetNode { assetPartitionStatuses '
    "{ ... on DefaultPartitionStatuses { materializedPartitions unmaterializedPartitions } } } } }",
}


def processes(root: int) -> Iterator[tuple[str, int]]:
    """Yield what every process of the tree runs and its resident bytes."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and root in (int(folder.name), os.getpgid(int(folder.name))):
                words = (folder / "cmdline").read_text().split("\0")
                pages = int((folder / "statm").read_text().split()[1])
                yield role(words), pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue


def role(words: list[str]) -> str:
    line = " ".join(words)
    known = {"dagster_webserver": "web server", "daemon": "daemon", "grpc": "code server", "code-server": "code server"}
    return next((name for word, name in known.items() if word in line), "dagster dev")


def ask(query: str) -> Any:
    data = json.dumps({"query": query}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/graphql", data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def wait() -> None:
    """Wait until the project is loaded, two minutes at most."""
    for _ in range(240):
        try:
            if "partitionStats" in ask(QUERIES["partition_stats"])["assetNodeOrError"]:
                return
        except (OSError, KeyError, TypeError):
            pass
        time.sleep(0.5)
    raise RuntimeError("dagster dev did not answer within two minutes")


def measures(folder: Path, count: int) -> Iterator[Measure]:
    """Yield seconds of two pages' queries, the first and the second time, and megabytes by process."""
    (folder / "slides").mkdir()
    (folder / "atlaspatch.toml").write_text(PROJECT)
    os.environ |= {"DAGSTER_HOME": str(folder / "home"), "ATLASPATCH_PROJECT": str(folder / "atlaspatch.toml")}
    dagster_home()
    with dg.DagsterInstance.get() as instance:
        ProjectNames().slides.register(instance, [f"slide_{number:06}" for number in range(count)])
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "--port",
        str(PORT),
        "--module-name",
        "atlaspatch_assets.definitions",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait()
        for name, query in QUERIES.items():
            for turn in ("first", "second"):
                start = perf_counter()
                ask(query)
                yield Measure(f"{name}_{turn}_{count}", perf_counter() - start, "< 10 s", "seconds")
        time.sleep(45)  # a tick of the sensor, a round of the daemon
        for name, size in sorted(processes(server.pid)):
            yield Measure(f"memory_{count}", size / 2**20, "", "MB", {"process": name})
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


@click.command()
@click.option("--partitions", default=100_000, show_default=True)
def main(partitions: int) -> None:
    """Print one JSON line per measure."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for measure in measures(Path(folder), partitions):
            click.echo(measure.line())


if __name__ == "__main__":
    main()
