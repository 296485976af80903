"""``python -m benchmarks.buckets``: a slide in a store that answers after 20 ms, against the same slide on a disk.

The store is a web server on this machine: one that speaks S3 as the tests have it takes more of the cores than what is
measured. Every round begins without a copy.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import h5py
import numpy as np
import tifffile

from benchmarks.encoders import PLUGIN
from benchmarks.measuring import Measure, in_turns
from benchmarks.running import THREADS
from benchmarks.slides import make_slide

SECONDS = 0.02
"""Before each answer of the bucket."""
SERVER = Path(__file__).parents[1] / "tests" / "helpers" / "bucket.py"
MOST_TIME, MOST_BYTES = 1.6, 1.1
ENCODERS = {
    "mean colour": ("--patch-encoders", "mean_one", "--feature-plugin", str(PLUGIN)),
    "efficientnet_lite0": ("--patch-encoders", "efficientnet_lite0"),
}
"""What is computed of patches: next to nothing, so that reading decides, and a network."""
OVERVIEW = 2
"""Level of the slides that the mask is found on."""


@dataclass(frozen=True)
class Server:
    """The process that serves a folder."""

    process: subprocess.Popen[str]
    url: str

    def sent(self) -> int:
        """Return the bytes of objects that were sent so far."""
        assert self.process.stdin
        assert self.process.stdout
        print(file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["bytes"]


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Give the server of a folder."""
    command = [sys.executable, str(SERVER), str(SECONDS), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Server(process, process.stdout.readline().strip())
        process.terminate()


def encode(source: str, output: Path, *more: str) -> None:
    """Run the command in a process of its own."""
    words = ["encode-slide", source, "--output", str(output), "--patch-size", "256", "--target-mag", "20", "--force"]
    code = "import sys; from atlaspatch_assets.cli.main import main; sys.exit(main())"
    runtime = ["--device", "cpu", "--patch-workers", str(THREADS)]
    subprocess.run(
        [sys.executable, "-c", code, *words, *runtime, *more], check=True, capture_output=True
    )  # fmt: skip


def needed_bytes(slide: Path, output: Path) -> int:
    """Return the bytes of the tiles under patches, of the level that the mask is found on, and of what is no tile."""
    with h5py.File(output / "patches" / f"{slide.stem}.h5") as file:
        corners = np.asarray(file["coords"])[:, :2]
    with tifffile.TiffFile(slide) as tiff:
        full, overview = tiff.pages[0].aspage(), tiff.pages[OVERVIEW].aspage()
        across = -(-full.imagewidth // full.tilewidth)
        counts = np.array(full.databytecounts).reshape(-1, across)
        touched = np.zeros(counts.shape, bool)
        for x, y in corners.tolist():
            rows = slice(y // full.tilelength, -(-(y + 256) // full.tilelength))
            touched[rows, x // full.tilewidth : -(-(x + 256) // full.tilewidth)] = True
        tiles = sum(sum(page.aspage().databytecounts) for page in tiff.pages)
        return int(counts[touched].sum()) + sum(overview.databytecounts) + slide.stat().st_size - tiles


def measures(folder: Path, width: int, height: int, rounds: int) -> Iterator[Measure]:
    """Yield how much longer a bucket takes, and how much more travels than is needed."""
    (folder / "served").mkdir()
    slide = make_slide(folder / "served" / "slide.svs", width, height)
    detail = {"slide": f"{width} × {height} px", "bytes": slide.stat().st_size, "milliseconds": SECONDS * 1000}
    with served(slide.parent) as server:
        for name, encoders in ENCODERS.items():

            def local(output: str = f"local {name}", more: tuple[str, ...] = encoders) -> None:
                encode(str(slide), folder / output, *more)

            def remote(output: str = f"bucket {name}", more: tuple[str, ...] = encoders) -> None:
                encode(f"{server.url}/slide.svs", folder / output, *more)

            before = server.sent()
            on_disk, in_bucket = in_turns([local, remote], rounds)
            ratio = float(np.median([far / near for near, far in zip(on_disk, in_bucket, strict=True)]))
            seconds = {"disk_s": on_disk, "bucket_s": in_bucket}
            yield Measure(f"bucket against disk, {name}", ratio, f"at most {MOST_TIME}", detail=detail | seconds)
            sent, needed = (server.sent() - before) / rounds, needed_bytes(slide, folder / f"bucket {name}")
            goal, moved = f"at most {MOST_BYTES}", {"sent": sent, "needed": needed}
            yield Measure("bytes against those needed", sent / needed, goal, detail=detail | moved)


@click.command()
@click.option("--width", default=40_000, help="px of the slide.")
@click.option("--height", default=30_000, help="px of the slide.")
@click.option("--rounds", default=3)
def main(width: int, height: int, rounds: int) -> None:
    """Print one JSON line per measure."""
    with tempfile.TemporaryDirectory() as folder:
        for measure in measures(Path(folder), width, height, rounds):
            click.echo(measure.line())


if __name__ == "__main__":
    main()
