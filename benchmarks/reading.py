"""How fast patches are read: tile-once streaming against OpenSlide patch by patch and against decoding alone."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.patches.tiles.plan import plan_tiles
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.tiles.layout import find_tiled_level
from benchmarks.measuring import Measure, in_turns, times_as_fast
from benchmarks.slides import make_slide, recompressed, tissue_corners

BATCH_SIZE = 32
"""As encoders take them by default."""


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
    tiles = plan_tiles(tiled, reading.coords, level.downsamples, reading.read_size).tiles
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


GOALS = {"224": ">= 4.5", "256": ">= 4.5", "512": ">= 3.5", "40x_at_20x": ">= 4.5", "256_one_thread": ">= 4.5"}
FORMATS = {"deflate": ("zlib", ".tiff"), "lzw": ("lzw", ".tiff"), "jpeg2000": (33005, ".svs")}
"""Names to what tifffile calls them, and to suffixes."""


def measures(folder: Path, width: int, height: int, workers: int, rounds: int) -> Iterator[Measure]:
    """Yield how tile-once streaming compares with OpenSlide per patch and with decoding alone, by patch size."""
    slides = {magnification: folder / f"{magnification}x.svs" for magnification in (20, 40)}
    for magnification, path in slides.items():
        make_slide(path, width, height, magnification=magnification)
    for name, path, patch_size, read_size, threads in (
        ("224", slides[20], 224, 224, workers),
        ("256", slides[20], 256, 256, workers),
        ("256_one_thread", slides[20], 256, 256, 1),
        ("512", slides[20], 512, 512, workers),
        ("40x_at_20x", slides[40], 256, 512, workers),
    ):
        coords = tissue_corners(width, height, read_size, read_size)
        yield from compared(name, Reading(path, coords, patch_size, read_size, threads), rounds)


def formats(folder: Path, width: int, height: int, workers: int, rounds: int) -> Iterator[Measure]:
    """Yield the same for other compressions than JPEG, 256 px."""
    jpeg = make_slide(folder / "jpeg.svs", width, height)
    coords = tissue_corners(width, height, 256, 256)
    for name, (compression, suffix) in FORMATS.items():
        path = recompressed(folder / f"{name}{suffix}", jpeg, compression)
        yield from compared(f"256_{name}", Reading(path, coords, 256, 256, workers), rounds)


def compared(name: str, reading: Reading, rounds: int) -> Iterator[Measure]:
    """Yield the two ratios of one kind of reading."""
    ways = tile_once, openslide_per_patch, decoding_alone
    seconds = in_turns([partial(way, reading) for way in ways], rounds)
    rates = {
        f"{way.__name__}_patches_per_second": round(len(reading.coords) / median(taken))
        for way, taken in zip(ways, seconds, strict=True)
    }
    detail = {"patches": len(reading.coords), "threads": reading.workers, "rounds": rounds} | rates
    ours, openslide, decoding = seconds
    goal = GOALS.get(name, "")
    yield Measure(f"tile_once_over_openslide_{name}", times_as_fast(ours, openslide), goal, detail=detail)
    goal = ">= 0.85" if goal else ""
    yield Measure(f"tile_once_over_decoding_{name}", times_as_fast(ours, decoding), goal, detail=detail)
