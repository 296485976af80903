"""What it costs to find slides: names are listed, nothing is opened."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.stability import leave_copies
from benchmarks.measuring import Measure


def measures(folder: Path, files: int, rounds: int) -> Iterator[Measure]:
    """Yield the seconds of a search through empty files, all in one folder and a hundred in each."""
    for per_folder in (files, 100):
        here = folder / f"find{per_folder}"
        fill(here, files, per_folder)
        seconds = [searched(here) for _ in range(rounds)]
        detail = {"files": files, "per_folder": per_folder, "slowest": round(max(seconds), 2)}
        yield Measure(f"find_{per_folder}_a_folder", median(seconds), "<= 5", "seconds", detail)


def fill(folder: Path, files: int, per_folder: int) -> None:
    """Write empty slides."""
    for number in range(files):
        here = folder / f"{number // per_folder:06d}"
        if number % per_folder == 0:
            here.mkdir(parents=True)
        (here / f"slide_{number:06d}.svs").touch()


def searched(folder: Path) -> float:
    """Return the seconds to list all slides, and to see which are still being copied."""
    start = perf_counter()
    leave_copies(discover([folder], recursive=True))
    return perf_counter() - start
