"""How fast a fleet is by its number of workers and the size of its shards: a simulation of discrete events.

``python -m benchmarks.fleet`` prints JSON lines; with ``--check`` it runs eight processes on one folder first, and says
how the time that they took compares with what is simulated of the same slides.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from time import monotonic

import click

from atlaspatch_core.discovery.shards import divide
from atlaspatch_core.isolation.cores import usable_cores
from benchmarks.measuring import Measure
from benchmarks.slides import make_slide

COMMAND = "from atlaspatch_assets.cli.main import main; main()"
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SIZES = (1, 8, 32, 128, 512)
"""Slides of a shard."""
MEDIAN_SECONDS, SPREAD = 60.0, 0.7
"""Of a slide on a GPU: 30 to 120 s for two of three, lognormal."""
TISSUE = (0.2, 0.6)
"""Share of a slide that is tissue: what makes a slide's time differ from what its size lets expect."""
SECONDS_OF_PATCH = 0.2
"""That the encoder of the check sleeps for each patch, so that eight processes need not eight cores."""
SLEEPER = f"""
import time, torch
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.weights import BuiltIn

class Sleeper(torch.nn.Module):
    def forward(self, pixels):
        time.sleep({SECONDS_OF_PATCH} * len(pixels))
        return pixels.float().mean(dim=(2, 3))

PATCH_ENCODERS = [PatchEncoder(
    name="sleeper", architecture=Built(Sleeper), source=BuiltIn(), dim=3, transform=None, license="Apache-2.0",
)]
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workers that take shards from one queue, as tasks of a Slurm array and batches of Dagster are taken."""

    workers: int
    start: float = 10.0
    """Seconds before a shard's first slide: a process, its imports, a model."""
    deaths: float = 0.01
    """Of a worker, per hour of its work: preemption, a node, a decoder."""
    back: float = 120.0
    """Seconds until a worker that died is noticed and the rest of its shard is taken by another."""
    slow_share: float = 0.05
    slow_factor: float = 3.0
    """How many workers are slow, and how many times as long they take."""


@dataclass(slots=True)
class Course:
    """What came of it."""

    makespan: float = 0.0
    """Seconds until the last slide is done."""
    useful: float = 0.0
    lost: float = 0.0
    """Seconds of work on slides that were done, and on those in hand of workers that died."""
    deaths: int = 0
    done: list[str] = field(default_factory=list)


def simulate(seconds: Mapping[str, float], shards: Sequence[Sequence[str]], fleet: Fleet, seed: int = 0) -> Course:
    """Return the course of a fleet on slides that take ``seconds``, in shards of their names.

    A worker that dies loses the slide in hand; what it finished stays, and the rest of the shard waits until somebody
    notices. Events are workers that become free and rests of shards that come back, in the order of their times.
    """
    chance, course = random.Random(seed), Course()
    waiting: list[tuple[float, int, list[str]]] = [(0.0, at, list(shard)) for at, shard in enumerate(shards)]
    slow = {worker for worker in range(fleet.workers) if chance.random() < fleet.slow_share}
    free = [(0.0, worker) for worker in range(fleet.workers)]
    while waiting:
        ready, order, shard = heappop(waiting)
        moment, worker = heappop(free)
        now = max(ready, moment) + fleet.start
        death = now + (chance.expovariate(fleet.deaths / 3600) if fleet.deaths else float("inf"))
        while shard:
            taken = seconds[shard[0]] * (fleet.slow_factor if worker in slow else 1.0)
            if now + taken > death:
                course.lost += max(0.0, death - now)
                course.deaths += 1
                heappush(waiting, (death + fleet.back, order, shard))
                now = death + fleet.back
                break
            now += taken
            course.useful += taken
            course.done.append(shard.pop(0))
            course.makespan = max(course.makespan, now)
        heappush(free, (now, worker))
    return course


def slides_of(count: int, seed: int = 0) -> tuple[dict[str, float], dict[str, int]]:
    """Return by name how many seconds slides take, and the patches that are expected of them by their size."""
    chance = random.Random(seed)
    seconds = {f"s{number:06}": chance.lognormvariate(0, SPREAD) * MEDIAN_SECONDS for number in range(count)}
    middle = sum(TISSUE) / 2
    return seconds, {
        stem: max(1, round(taken * 100 * middle / chance.uniform(*TISSUE))) for stem, taken in seconds.items()
    }


def shards_of(weights: Mapping[str, int], count: int) -> list[list[str]]:
    """Return the slides in so many parts, as ``--shard`` divides them."""
    return [list(part) for part in divide(weights, count) if part]


def measures(slides: int, size: int) -> Iterator[Measure]:
    """Yield the speed-up by workers at a size of shards, then the lost and idle time by sizes at 64 workers."""
    seconds, weights = slides_of(slides)
    alone = sum(seconds.values())
    for workers in WORKERS:
        course = simulate(seconds, shards_of(weights, max(workers, slides // size)), Fleet(workers))
        detail = {
            "workers": workers,
            "hours": round(course.makespan / 3600, 2),
            "efficiency": _share(course, alone, workers),
        }
        yield Measure("fleet_speed_up", alone / course.makespan, "", "times", detail)
    for each in SIZES:
        course = simulate(seconds, shards_of(weights, max(1, slides // each)), Fleet(64, deaths=0.2))
        detail = {"slides_of_a_shard": each, "deaths": course.deaths, "efficiency": _share(course, alone, 64)}
        yield Measure("fleet_lost_work", course.lost / course.useful, "", "share", detail)


def _share(course: Course, alone: float, workers: int) -> float:
    return round(alone / course.makespan / workers, 3)


def check(folder: Path, processes: int = 8) -> Measure:
    """Return how long eight processes on one folder take over what is simulated of the same slides."""
    slides, plugin = folder / "slides", folder / "sleeper.py"
    slides.mkdir()
    plugin.write_text(SLEEPER)
    for number in range(24):
        make_slide(slides / f"s{number:02}.svs", 1024 + 256 * (number % 5), 1024)
    first = _seconds([_start(folder, "first", "--shard", "1/24")])
    start = max(0.0, first - SECONDS_OF_PATCH * sum(_patches(folder / "first").values()))
    several = _seconds([_start(folder, "several", "--shard", f"{at}/{processes}") for at in range(1, processes + 1)])
    patches = _patches(folder / "several")
    seconds = {stem: count * SECONDS_OF_PATCH for stem, count in patches.items()}
    cores = min(processes, usable_cores())
    fleet = Fleet(processes, start * processes / cores, deaths=0.0, slow_share=0.0)  # starts wait for each other's core
    simulated = simulate(seconds, shards_of(patches, processes), fleet).makespan
    detail = {"seconds": round(several, 1), "simulated": round(simulated, 1), "start": round(start, 1), "cores": cores}
    return Measure("fleet_of_eight_over_simulated", several / simulated, "0.8 to 1.25", detail=detail)


def _start(folder: Path, output: str, *more: str) -> "subprocess.Popen[bytes]":
    words = ["encode-slide", folder / "slides", "--output", folder / output, "--patch-size", 128, "--target-mag", 20]
    words += ["--device", "cpu", "--patch-encoders", "sleeper", "--feature-plugin", folder / "sleeper.py", *more]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _seconds(processes: Sequence["subprocess.Popen[bytes]"]) -> float:
    """Return how long processes take that were started just now."""
    begin = monotonic()
    if any(process.wait() for process in processes):
        raise RuntimeError("a process of the check failed")
    return monotonic() - begin


def _patches(output: Path) -> dict[str, int]:
    from atlaspatch_core.storage.hdf5 import read_array
    from atlaspatch_core.storage.schema import COORDS

    return {path.stem: len(read_array(path, COORDS)) for path in (output / "patches").glob("*.h5")}


@click.command()
@click.option("--slides", default=20_000, show_default=True, help="Slides of the cohort that is simulated.")
@click.option("--size", default=32, show_default=True, help="Slides of a shard.")
@click.option("--check", "is_checked", is_flag=True, help="Run eight processes on one folder, and compare.")
def main(slides: int, size: int, is_checked: bool) -> None:
    """Print one JSON line per measure."""
    if is_checked:
        with tempfile.TemporaryDirectory() as folder:
            click.echo(check(Path(folder)).line())
    for measure in measures(slides, size):
        click.echo(measure.line())


if __name__ == "__main__":
    main()
