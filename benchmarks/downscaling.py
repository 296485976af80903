"""How fast JPEG tiles decoded at reduced scale are, against tiles decoded in full and area-averaged, and how alike."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from atlaspatch_core.patches.stream import PatchBatch, PatchStream
from atlaspatch_core.patches.tiles.tile_stream import open_tile_stream
from atlaspatch_core.slides.readers import open_slide
from benchmarks.measuring import Measure, in_turns, times_as_fast
from benchmarks.reading import BATCH_SIZE, Reading
from benchmarks.slides import tissue_corners

PATCH_SIZE = 256
FACTORS = {"half": 2, "quarter": 4, "eighth": 8}


def batches(reading: Reading, factors: tuple[int, ...], path: str) -> Iterator[PatchBatch]:
    """Yield the patches, read in the way that has this name."""
    with open_slide(reading.path) as slide:
        source = open_tile_stream(slide, reading.grid, factors)
        stream = PatchStream(slide, reading.grid, source, batch_size=BATCH_SIZE, workers=reading.workers)
        if stream.path != path:
            raise RuntimeError(f"patches came by {stream.path}: {stream.why}")
        with stream:
            yield from stream


def difference(reading: Reading, factor: int) -> dict[str, Any]:
    """Return the mean and the largest absolute difference of px, levels of 255."""
    reduced = np.empty((len(reading.coords), PATCH_SIZE, PATCH_SIZE, 3), np.int16)
    for batch in by_dct(reading, factor):
        reduced[batch.rows] = batch.patches
    total, largest = 0, 0
    for batch in by_area(reading):
        found = abs(reduced[batch.rows] - batch.patches)
        total, largest = total + int(found.sum()), max(largest, int(found.max()))
    return {"mean_difference": round(total / reduced.size, 2), "max_difference": largest}


def by_dct(reading: Reading, factor: int) -> Iterator[PatchBatch]:
    """Yield the patches by reduced decoding."""
    return batches(reading, (factor,), f"tiles dct 1/{factor}")


def by_area(reading: Reading) -> Iterator[PatchBatch]:
    """Yield the patches by full decoding and area averaging."""
    return batches(reading, (), "tiles")


def drain(way: Callable[..., Iterator[PatchBatch]], *arguments: Any) -> None:
    """Take all patches, and drop them."""
    for _ in way(*arguments):
        pass


def measures(slide: Path, width: int, height: int, workers: int, rounds: int) -> Iterator[Measure]:
    """Yield the ratio by scale on a JPEG slide of this size, px."""
    for name, factor in FACTORS.items():
        side = PATCH_SIZE * factor
        reading = Reading(slide, tissue_corners(width, height, side, side), PATCH_SIZE, side, workers)
        dct, area = in_turns([partial(drain, by_dct, reading, factor), partial(drain, by_area, reading)], rounds)
        detail = {"patches": len(reading.coords), "threads": workers, "rounds": rounds}
        detail |= {"dct_seconds": round(median(dct), 3), "area_seconds": round(median(area), 3)}
        detail |= difference(reading, factor)
        yield Measure(f"dct_over_area_{name}", times_as_fast(dct, area), "offered from 2", detail=detail)
