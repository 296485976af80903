"""What it costs that slides are read by a process of their own: the same run with and without, side by side."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from unittest.mock import patch

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery import sources
from benchmarks.encoders import PLUGIN
from benchmarks.measuring import Measure, in_turns, times_as_fast
from benchmarks.running import encode, patches_of, project

COMMAND = "from atlaspatch_assets.cli.main import main; main()"
HERE = f"from atlaspatch_core.discovery import sources; sources.isolates = lambda: False; {COMMAND}"
"""The same, and this process reads the slides."""


def reading(slide: Path, folder: Path, rounds: int) -> Measure:
    """Return how fast a run is that is bound by reading."""
    made = project(folder / "isolated", "mean_one")
    encode(slide, made, only_features=False)
    isolated, here = in_turns([partial(encode, slide, made), partial(encode_here, slide, made)], rounds)
    detail = {"patches": patches_of(slide, made), "seconds": round(median(isolated), 3), "rounds": rounds}
    return Measure("isolated_over_one_process", times_as_fast(isolated, here), ">= 0.95", detail=detail)


def commands(slide: Path, folder: Path, rounds: int) -> Measure:
    """Return how many seconds a whole command takes longer, of which most is the start of the process."""
    outputs = (folder / f"command{number}" for number in count())
    ways = [partial(run, code, slide, outputs) for code in (COMMAND, HERE)]
    isolated, here = in_turns(ways, rounds)
    seconds = median(long - short for long, short in zip(isolated, here, strict=True))
    detail = {"seconds_in_one_process": round(median(here), 3), "rounds": rounds}
    return Measure("isolated_command_takes_longer", seconds, "<= 0.5", "seconds", detail)


def encode_here(slide: Path, made: Project) -> None:
    """Encode a slide that this process reads itself."""
    with patch.object(sources, "isolates", return_value=False):
        encode(slide, made)


def run(code: str, slide: Path, outputs: Iterator[Path]) -> None:
    """Run ``encode-slide`` in a new process, with an encoder that costs nothing."""
    words = ["encode-slide", slide, "--output", next(outputs), "--patch-size", 256, "--target-mag", 20]
    words += ["--device", "cpu", "--patch-encoders", "mean_one", "--feature-plugin", PLUGIN]
    subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True)
