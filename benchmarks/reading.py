"""How fast patches are read: tile-once streaming against OpenSlide patch by patch and against decoding alone.

``python -m benchmarks.reading`` prints one JSON line per measure. Everything a ratio compares runs in this process on
the same patches and number of threads, in turns.
"""

import json
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.patches import open_stream
from atlaspatch_core.readers import open_slide
from atlaspatch_core.scale import Sampling
from atlaspatch_core.tiles.layout import find_tiled_level
from atlaspatch_core.tiles.plan import plan_tiles
from benchmarks.slides import make_slide, tissue_corners

BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of which slide, by how many threads."""

    path: Path
    coords: NDArray[np.int32]
    """Shape (n, 2): corners, level-0 px."""
    patch_size: int
    read_size: int
    workers: int

    @property
    def grid(self) -> PatchGrid:
        """The same as a grid on level 0."""
        size = self.read_size
        sampling = Sampling(self.patch_size, 0, size, size, size, 0.5)
        return PatchGrid(self.coords, np.ones(len(self.coords), np.float32), sampling)


def tile_once(reading: Reading) -> None:
    """Stream the patches."""
    with open_slide(reading.path) as slide:
        stream = open_stream(slide, reading.grid, batch_size=BATCH_SIZE, workers=reading.workers)
        with stream:
            count = sum(len(batch.rows) for batch in stream)
    if stream.path != "tiles" or count != len(reading.coords):
        raise RuntimeError(f"{count} patches came by {stream.path}: {stream.why}")


def openslide_per_patch(reading: Reading) -> None:
    """Ask OpenSlide for each patch, convert it to RGB and average it, as other tools do."""
    from openslide import OpenSlide

    side, size = reading.read_size, (reading.patch_size, reading.patch_size)

    def read(corner: list[int]) -> NDArray[Any]:
        pixels = np.asarray(slide.read_region((corner[0], corner[1]), 0, (side, side)).convert("RGB"))
        return pixels if side == size[0] else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

    with OpenSlide(reading.path) as slide, ThreadPoolExecutor(reading.workers) as pool:
        for _ in pool.map(read, reading.coords.tolist()):
            pass


def decoding_alone(reading: Reading) -> None:
    """Decode the tiles under the patches, each once, and drop the pixels."""
    with open_slide(reading.path) as slide:
        level = slide.info.levels[0]
    tiled = find_tiled_level(reading.path, level)
    if tiled is None:
        raise RuntimeError(f"{reading.path.name} has no tiles")
    tiles = plan_tiles(tiled, reading.coords, level.downsample, reading.read_size).tiles
    file = os.open(reading.path, os.O_RDONLY)

    def decode(some: NDArray[np.int64]) -> None:
        out = np.empty((tiled.tile_height, tiled.tile_width, 3), np.uint8)
        for tile in some.tolist():
            data = os.pread(file, int(tiled.byte_counts.flat[tile]), int(tiled.offsets.flat[tile]))
            tiled.decoders[0](data, tile, out)

    try:
        with ThreadPoolExecutor(reading.workers) as pool:
            list(pool.map(decode, np.array_split(tiles, max(1, len(tiles) // 32))))
    finally:
        os.close(file)


Way = Callable[[Reading], None]


def in_turns(ways: tuple[Way, ...], reading: Reading, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way and round."""
    seconds: dict[str, list[float]] = {way.__name__: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            start = perf_counter()
            way(reading)
            seconds[way.__name__].append(perf_counter() - start)
    return seconds


def ratio_of(seconds: dict[str, list[float]], slow: Way, quick: Way) -> float:
    """Return the median over rounds of how many times as long the one takes."""
    pairs = zip(seconds[slow.__name__], seconds[quick.__name__], strict=True)
    return round(median(one / other for one, other in pairs), 3)


def measures(folder: Path, width: int, height: int, workers: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield each measure: its name, its ratio and what it was made of."""
    slides = {magnification: folder / f"{magnification}x.svs" for magnification in (20, 40)}
    for magnification, path in slides.items():
        make_slide(path, width, height, magnification=magnification)
    ways = tile_once, openslide_per_patch, decoding_alone
    for name, path, patch_size, read_size in (
        ("224", slides[20], 224, 224),
        ("256", slides[20], 256, 256),
        ("512", slides[20], 512, 512),
        ("40x_at_20x", slides[40], 256, 512),
    ):
        coords = tissue_corners(width, height, read_size, read_size)
        seconds = in_turns(ways, Reading(path, coords, patch_size, read_size, workers), rounds)
        rates = {f"{way}_patches_per_second": round(len(coords) / median(each)) for way, each in seconds.items()}
        detail = {"patches": len(coords), "slide": [width, height], "workers": workers, "rounds": rounds} | rates
        yield {
            "measure": f"tile_once_over_openslide_{name}",
            "ratio": ratio_of(seconds, openslide_per_patch, tile_once),
            "detail": detail,
        }
        yield {
            "measure": f"tile_once_over_decoding_{name}",
            "ratio": ratio_of(seconds, decoding_alone, tile_once),
            "detail": detail,
        }


@click.command()
@click.option("--width", default=20_000, show_default=True, help="px of the painted slides")
@click.option("--height", default=15_000, show_default=True, help="px of the painted slides")
@click.option("--workers", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(width: int, height: int, workers: int, rounds: int) -> None:
    """Print one JSON line per measure."""
    with tempfile.TemporaryDirectory() as folder:
        for measure in measures(Path(folder), width, height, workers, rounds):
            click.echo(json.dumps(measure))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    detail = {"slide": [width, height], "of": "this whole process, the making of the slides included"}
    click.echo(json.dumps({"measure": "reading_peak_megabytes", "value": peak, "detail": detail}))


if __name__ == "__main__":
    main()
