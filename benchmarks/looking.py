"""What a slide costs besides its pixels: the first command on a machine, a finished slide, one more among many."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.measuring import Measure, in_turns
from benchmarks.running import project
from benchmarks.slides import SOURCE

COLD = """
from atlaspatch_assets.cli.main import main
main()
"""


def cold_encode_slide(output: Path, *options: str) -> None:
    """Encode the bundled slide from its file to its embedding, in a new process and a new folder."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", COLD, "encode-slide", str(SOURCE), "--output", str(output), "--device", "cpu"]
    command += ["--slide-encoders", "mean-efficientnet_lite0", "--patch-size", "256", "--target-mag", "20"]
    subprocess.run([*command, *options], check=True, capture_output=True)


def cold_start(folder: Path, rounds: int) -> Measure:
    """Return the seconds of a whole ``encode-slide`` of the bundled slide, from file to embedding, in a new process."""
    [seconds] = in_turns([lambda: cold_encode_slide(folder / "cold")], rounds)
    detail = {"rounds": rounds, "slowest": round(max(seconds), 2)}
    return Measure("cold_encode_slide", median(seconds), "<= 6", "seconds", detail)


def run(sources: list[SlideSource], made: Project) -> float:
    """Return the seconds that the pipeline takes over these slides."""
    start = perf_counter()
    for outcome in process(sources, make_recipe(made)):
        if outcome.status == "failed":
            raise RuntimeError(outcome.why)
    return perf_counter() - start


def finished_slides(folder: Path, counts: tuple[int, ...], rounds: int) -> Iterator[Measure]:
    """Yield the milliseconds of a finished slide, and the seconds that one more slide costs among many."""
    made = project(folder / "many", "mean_one")
    sources: list[SlideSource] = []
    for count in counts:
        while len(sources) < count:
            path = folder / f"copy{len(sources)}.svs"
            shutil.copy(SOURCE, path)
            sources.append(SlideSource(path.stem, path))
        run(sources, made)
        again = median(run(sources, made) for _ in range(rounds))
        new = folder / f"added_to_{count}.svs"
        shutil.copy(SOURCE, new)
        added = run([*sources, SlideSource(new.stem, new)], made)
        yield Measure(f"finished_slide_among_{count}", 1000 * again / count, "<= 2", "milliseconds", {"slides": count})
        yield Measure(f"added_slide_to_{count}", added, "", "seconds", {"of_which_finished_slides": round(again, 3)})


def measures(folder: Path, counts: tuple[int, ...], rounds: int) -> Iterator[Measure]:
    """Yield every measure of looking at slides."""
    yield cold_start(folder, rounds)
    yield from finished_slides(folder, counts, rounds)
