"""What it costs to ask how far a folder is, from the start of the process to its end, and to keep track of a run."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.tracking.remembered_project import remembered_project
from atlaspatch_core.operations.tracking.tracker import Command, Tracker
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.measuring import Measure
from benchmarks.slides import make_slide

START = [sys.executable, "-c", "from atlaspatch_assets.cli.main import main; main()"]


def encoded(folder: Path, count: int) -> Path:
    """Encode so many small slides by the command itself; return the output folder."""
    slides, output = folder / "slides", folder / "output"
    slides.mkdir(parents=True)
    first = make_slide(slides / "slide0.svs", 1024, 768)
    for number in range(1, count):
        shutil.copy(first, slides / f"slide{number}.svs")
    options = ["--patch-size", "512", "--target-mag", "20", "--device", "cpu"]
    encoders = ["--slide-encoders", "mean-efficientnet_lite0"]
    command = [*START, "encode-slide", str(slides), "--output", str(output), *options, *encoders]
    subprocess.run(command, check=True, capture_output=True)
    return output


def asked(output: Path, *options: str) -> float:
    """Return the seconds of ``atlaspatch status`` in a new process."""
    start = perf_counter()
    subprocess.run([*START, "status", str(output), *options], check=True, capture_output=True)
    return perf_counter() - start


def tracked(output: Path) -> float:
    """Return the seconds that the tracking of a run over finished slides takes, its start and end included."""
    project = remembered_project(output).project
    found = find_slides(project)
    outcomes = list(process(found.sources, make_recipe(project)))
    start = perf_counter()
    with Tracker(project, found, Command("benchmark", {})) as tracker:
        for outcome in outcomes:
            tracker.record_outcome(outcome)
    return perf_counter() - start


def measures(folder: Path, count: int, rounds: int) -> Iterator[Measure]:
    """Yield the seconds of the status of so many slides, and the milliseconds that tracking adds to each."""
    output = encoded(folder, count)
    shutil.rmtree(output / ".index")
    first = asked(output)
    again = median(asked(output) for _ in range(rounds))
    page = median(asked(output, "--html", str(output / "status.html")) for _ in range(rounds))
    detail = {"slides": count, "without_index": round(first, 2), "as_page": round(page, 2)}
    yield Measure(f"status_of_{count}_slides", max(first, again), "< 5", "seconds", detail | {"again": round(again, 2)})
    seconds = median(tracked(output) for _ in range(rounds))
    name = f"tracking_of_a_finished_slide_among_{count}"
    yield Measure(name, 1000 * seconds / count, "<= 1", "milliseconds", {"slides": count})
