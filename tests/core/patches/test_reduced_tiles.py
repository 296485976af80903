"""JPEG tiles decoded at a half, a quarter or an eighth of their size look as if they were area-averaged."""

from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.local_stream import ReadOptions, stream_of
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream, read_patch
from atlaspatch_core.patches.tiles.reduced import DCT_FACTORS
from atlaspatch_core.patches.tiles.tile_stream import open_tile_stream
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Slide

WIDTH, HEIGHT = 431, 310
ANY = (2, 4, 8)


def cloudy() -> np.ndarray:
    """Colours that JPEG need not clip: clipping before and after averaging differ."""
    coarse = np.random.default_rng(3).integers(90, 190, (HEIGHT // 12 + 1, WIDTH // 12 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


YCBCR = {"compression": "jpeg", "compressionargs": {"level": 85}, "photometric": "ycbcr"}
STORED = {
    "4:2:0": YCBCR | {"subsampling": (2, 2)},
    "4:4:4": YCBCR | {"subsampling": (1, 1)},
    "RGB": YCBCR | {"photometric": "rgb", "compressionargs": {"level": 85, "outcolorspace": "rgb"}},
    "4:2:0, odd tiles": YCBCR | {"subsampling": (2, 2), "tile": (112, 48)},
}


def write(path: Path, how: dict[str, Any]) -> Path:
    with tifffile.TiffWriter(path) as writer:
        writer.write(cloudy(), **({"photometric": "rgb", "metadata": None, "software": False, "tile": (64, 64)} | how))
    return path


def grid_of(slide: Slide, *, factor: int, patch: int = 24, step: int = 16, first: int = 0) -> PatchGrid:
    """Patches from corner to corner, over the right and bottom edges; ``patch`` and ``step`` at the patches' scale."""
    read, stride = patch * factor, step * factor
    xs, ys = range(first, slide.info.width, stride), range(first, slide.info.height, stride)
    coords = np.array([(x, y) for y in ys for x in xs], np.int32)
    return PatchGrid(coords, np.ones(len(coords), np.float32), Sampling(patch, 0, read, read, stride, 0.5))


def streamed(slide: Slide, grid: PatchGrid, factors: tuple[int, ...] = ANY) -> tuple[str, np.ndarray]:
    """The path that was taken, and the patches in the order of the grid; each must come once."""
    patches, seen = np.zeros((len(grid), *[grid.sampling.patch_size] * 2, 3), np.uint8), []
    with stream_of(slide, grid, open_tile_stream(slide, grid, factors), ReadOptions(7, 2)) as stream:
        for batch in stream:
            patches[batch.rows] = batch.patches
            seen += batch.rows.tolist()
    assert sorted(seen) == list(range(len(grid)))
    return stream.path, patches


def averaged(slide: Slide, grid: PatchGrid) -> np.ndarray:
    return np.stack([read_patch(slide, x, y, grid.sampling) for x, y in grid.coords.tolist()])


def difference(slide: Slide, grid: PatchGrid, patches: np.ndarray) -> tuple[float, int]:
    """Mean and largest absolute difference to area averaging."""
    found = abs(patches.astype(int) - averaged(slide, grid))
    return float(found.mean()), int(found.max())


@pytest.mark.parametrize("factor", ANY)
@pytest.mark.parametrize("how", STORED.values(), ids=STORED.keys())
def test_overlapping_patches_up_to_the_edges_look_area_averaged(tmp_path, how, factor):
    with open_slide(write(tmp_path / "painted.tiff", how), mpp=0.5) as slide:
        grid = grid_of(slide, factor=factor)
        path, patches = streamed(slide, grid)
        assert path == f"tiles dct 1/{factor}"
        mean, largest = difference(slide, grid, patches)
    assert mean < 1
    assert largest <= 16


@pytest.mark.parametrize("factor", ANY)
def test_tiles_over_the_edge_are_area_averaged_with_white_outside(tmp_path, factor):
    with open_slide(write(tmp_path / "painted.tiff", STORED["4:2:0"]), mpp=0.5) as slide:
        coords = np.array([[384, 0], [0, 256], [384, 256]], np.int32)
        side = 64 // factor
        grid = PatchGrid(coords, np.ones(3, np.float32), Sampling(side, 0, 64, 64, 64, 0.5))
        path, patches = streamed(slide, grid)
        assert path == f"tiles dct 1/{factor}"
        assert np.array_equal(patches, averaged(slide, grid))
        assert (patches[2, -8 // factor :] == 255).all()
        assert (patches[2, :, -16 // factor :] == 255).all()


def test_patches_that_are_whole_tiles_are_decoded_in_place(tmp_path):
    with open_slide(write(tmp_path / "painted.tiff", STORED["4:2:0"]), mpp=0.5) as slide:
        grid = grid_of(slide, factor=2, patch=32, step=32)
        path, patches = streamed(slide, grid)
        mean, largest = difference(slide, grid, patches)
    assert path == "tiles dct 1/2"
    assert mean < 1
    assert largest <= 16


@pytest.mark.parametrize("factor", ANY)
def test_the_real_slide_looks_area_averaged(bundled_slide, factor):
    with open_slide(bundled_slide) as slide:
        whole = grid_of(slide, factor=factor, patch=1024 // factor, step=1024 // factor)
        path, patches = streamed(slide, whole)
        mean, largest = difference(slide, whole, patches)
    assert path == f"tiles dct 1/{factor}"
    assert mean < 0.1
    assert largest <= 24


def test_all_patches_between_the_pixels_of_the_smaller_tiles_are_area_averaged(tmp_path):
    """Patches between the pixels of the smaller tiles are area averaged all of them."""
    with open_slide(write(tmp_path / "painted.tiff", STORED["4:2:0"]), mpp=0.5) as slide:
        grid = grid_of(slide, factor=2)
        grid.coords[-1] += 1
        path, patches = streamed(slide, grid)
        assert path == "tiles"
        assert np.array_equal(patches, averaged(slide, grid))


@pytest.mark.parametrize(("patch", "read"), [(24, 72), (24, 50), (24, 24)])
def test_other_scales_are_area_averaged(tmp_path, patch, read):
    with open_slide(write(tmp_path / "painted.tiff", STORED["4:2:0"]), mpp=0.5) as slide:
        coords = np.array([[0, 0], [72, 48]], np.int32)
        grid = PatchGrid(coords, np.ones(2, np.float32), Sampling(patch, 0, read, read, read, 0.5))
        path, patches = streamed(slide, grid)
        assert path == "tiles"
        assert np.array_equal(patches, averaged(slide, grid))


def test_tiles_that_are_no_jpeg_are_area_averaged(tmp_path):
    with open_slide(write(tmp_path / "painted.tiff", {"compression": "lzw"}), mpp=0.5) as slide:
        assert streamed(slide, grid_of(slide, factor=2))[0] == "tiles"


def test_jpeg_whose_own_marker_contradicts_the_page_is_area_averaged(tmp_path):
    tile = bytes(imagecodecs.jpeg8_encode(cloudy()[:64, :64], level=90, colorspace="rgb", outcolorspace="rgb"))
    path = tmp_path / "painted.tiff"
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter([tile] * 4), shape=(128, 128, 3), dtype="uint8", tile=(64, 64), compression="jpeg",
            photometric="ycbcr", subsampling=(1, 1), metadata=None, software=False,
        )  # fmt: skip
    with open_slide(path, mpp=0.5) as slide:
        grid = grid_of(slide, factor=2)
        path, patches = streamed(slide, grid)
        assert path == "tiles"
        assert np.array_equal(patches, averaged(slide, grid))


def test_a_tile_that_cannot_be_decoded_raises_unreadable_slide(tmp_path):
    path = write(tmp_path / "broken.tiff", STORED["4:2:0"])
    with tifffile.TiffFile(path) as tiff:
        offset, byte_count = tiff.pages[0].dataoffsets[17], tiff.pages[0].databytecounts[17]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(byte_count))
    with open_slide(path, mpp=0.5) as slide, pytest.raises(UnreadableSlide, match="broken"):
        streamed(slide, grid_of(slide, factor=4))


@pytest.mark.parametrize("factor", ANY)
def test_dct_is_used_where_it_is_fast_enough_and_only_when_asked_for(tmp_path, factor):
    with open_slide(write(tmp_path / "painted.tiff", STORED["4:2:0"]), mpp=0.5) as slide:
        grid = grid_of(slide, factor=factor)
        with open_stream(slide, grid, batch_size=7, workers=1, downscale="dct") as asked:
            assert asked.path == (f"tiles dct 1/{factor}" if factor in DCT_FACTORS else "tiles")
        with open_stream(slide, grid, batch_size=7, workers=1) as usual:
            assert usual.path == "tiles"
