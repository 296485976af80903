"""Streaming the pixels of a grid."""

import threading
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.local_stream import ReadOptions, open_local_stream
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import PatchBatch, read_patch, stream_patches
from atlaspatch_core.slides.slide import Level, Region, SlideInfo

pytestmark = pytest.mark.quick


class PaintedSlide:
    """One level held in memory; a region that touches ``broken_at`` (x, y) cannot be decoded."""

    def __init__(self, pixels: np.ndarray, broken_at: tuple[int, int] | None = None):
        self.pixels = pixels
        self.broken_at = broken_at
        height, width = pixels.shape[:2]
        level = Level(width, height, 1.0)
        self.info = SlideInfo("painted", Path("painted.png"), "array", (level,), 0.5, "test", 20.0, "test")

    def read_region(self, region: Region) -> np.ndarray:
        if self.broken_at == (region.x, region.y):
            raise UnreadableSlide(f"painted: the pixels at {self.broken_at} cannot be decoded")
        height, width = self.pixels.shape[:2]
        out = np.full((region.height, region.width, 3), 255, np.uint8)
        right, bottom = min(width, region.x + region.width), min(height, region.y + region.height)
        left, top = max(0, region.x), max(0, region.y)
        if right > left and bottom > top:
            inside = self.pixels[top:bottom, left:right]
            out[top - region.y : bottom - region.y, left - region.x : right - region.x] = inside
        return out

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None: ...


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 255, (height, width, 3), np.uint8)


def lattice(width: int, height: int, *, patch: int, step: int, read: int | None = None) -> PatchGrid:
    read = read or patch
    corners = [(x, y) for y in range(0, height, step) for x in range(0, width, step)]
    coords = np.array(corners, np.int32).reshape(-1, 2)
    return PatchGrid(coords, np.ones(len(coords), np.float32), Sampling(patch, 0, read, read, step, 0.5))


def together(batches: list[PatchBatch], grid: PatchGrid) -> np.ndarray:
    """Patches in the order of the grid, after checking that each row came once."""
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(len(grid.coords)))
    return np.concatenate([batch.patches for batch in batches])[np.argsort(rows)]


def test_every_patch_comes_once_with_its_own_pixels():
    pixels = noise(96, 128)
    grid = lattice(128, 96, patch=32, step=32)
    patches = together(list(stream_patches(PaintedSlide(pixels), grid, batch_size=5, workers=2)), grid)
    for (x, y), patch in zip(grid.coords.tolist(), patches, strict=True):
        assert np.array_equal(patch, pixels[y : y + 32, x : x + 32])


def test_batches_are_full_but_for_the_last_one():
    grid = lattice(128, 96, patch=32, step=32)
    batches = list(stream_patches(PaintedSlide(noise(96, 128)), grid, batch_size=5, workers=2))
    assert [len(batch.rows) for batch in batches] == [5, 5, 2]
    assert batches[0].patches.shape == (5, 32, 32, 3)
    assert batches[0].rows.dtype == np.int64


@pytest.mark.parametrize("size", [12, 13, 99_999_999, 10**400])
def test_a_batch_takes_memory_for_the_patches_that_there_are_alone(size: int):
    grid, shapes = lattice(128, 96, patch=32, step=32), []

    def allocate(shape: tuple[int, ...]) -> np.ndarray:
        shapes.append(shape)
        return np.empty(shape, np.uint8)

    slide = PaintedSlide(noise(96, 128))
    with open_local_stream(slide, grid, ReadOptions(size, workers=2), allocate) as stream:
        patches = together(list(stream), grid)
    assert shapes == [(len(grid), 32, 32, 3)]
    np.testing.assert_array_equal(patches, together(list(stream_patches(slide, grid, batch_size=5, workers=2)), grid))


def test_patch_over_the_edge_is_white_there():
    grid = lattice(40, 40, patch=32, step=32)
    patches = together(list(stream_patches(PaintedSlide(noise(40, 40)), grid, batch_size=8, workers=2)), grid)
    assert (patches[3, 8:] == 255).all()
    assert (patches[3, :, 8:] == 255).all()
    assert (patches[3, :8, :8] < 255).all()


def test_finer_pixels_are_area_averaged_to_the_patch_size():
    pixels = noise(64, 64)
    grid = lattice(64, 64, patch=16, step=32, read=32)
    patches = together(list(stream_patches(PaintedSlide(pixels), grid, batch_size=8, workers=2)), grid)
    expected = cv2.resize(pixels[32:64, 0:32], (16, 16), interpolation=cv2.INTER_AREA)
    assert np.array_equal(patches[2], expected)


@pytest.mark.parametrize(("patch", "read"), [(32, 32), (16, 40)])
def test_overlapping_patches_are_cut_from_few_reads_with_the_same_pixels(patch, read):
    class CountingSlide(PaintedSlide):
        reads = 0

        def read_region(self, region: Region) -> np.ndarray:
            self.reads += 1
            return super().read_region(region)

    slide = CountingSlide(noise(150, 150))
    grid = lattice(150, 150, patch=patch, step=10, read=read)
    patches = together(list(stream_patches(slide, grid, batch_size=64, workers=2)), grid)
    assert slide.reads < len(grid.coords) / 10
    for (x, y), got in zip(grid.coords.tolist(), patches, strict=True):
        assert np.array_equal(got, read_patch(slide, x, y, grid.sampling))


def test_batch_that_is_kept_keeps_its_pixels():
    pixels = noise(96, 128)
    grid = lattice(128, 96, patch=32, step=32)
    stream = stream_patches(PaintedSlide(pixels), grid, batch_size=2, workers=1)
    kept = [(batch.rows[0], batch.patches[:1]) for batch in stream]
    for row, patches in kept:
        x, y = grid.coords[row].tolist()
        assert np.array_equal(patches[0], pixels[y : y + 32, x : x + 32])


def test_stream_that_is_left_early_stops_its_threads():
    stream = stream_patches(PaintedSlide(noise(96, 128)), lattice(128, 96, patch=32, step=32), batch_size=2, workers=2)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("patches")]


def test_grid_without_patches_gives_no_batch():
    grid = lattice(0, 0, patch=16, step=16)
    assert list(stream_patches(PaintedSlide(noise(16, 16)), grid, batch_size=8, workers=2)) == []


def test_pixels_that_cannot_be_decoded_raise_the_readers_error():
    slide = PaintedSlide(noise(64, 64), broken_at=(32, 32))
    with pytest.raises(UnreadableSlide, match=r"painted: .*\(32, 32\)"):
        list(stream_patches(slide, lattice(64, 64, patch=32, step=32), batch_size=3, workers=2))
