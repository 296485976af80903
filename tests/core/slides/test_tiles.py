"""Stored tiles, decoded once, give the very bytes that the slide's reader gives patch by patch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from tile_comparison import assert_same_as_reader, grid_of

from atlaspatch_core.errors import AtlasPatchError, UnreadableSlide
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.stream import open_stream, read_patch
from atlaspatch_core.patches.tiles import plan
from atlaspatch_core.patches.tiles.plan import plan_tiles
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.tiles.layout import find_tiled_level

WIDTH, HEIGHT = 430, 310
APERIO = f"Aperio Image Library v11.2.1\r\n{WIDTH}x{HEIGHT} [0,0 {WIDTH}x{HEIGHT}] Q=90|AppMag = 20|MPP = 0.5"


def cloudy(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    coarse = np.random.default_rng(3).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write(path: Path, how: dict[str, Any], levels: tuple[int, ...] = (1, 2)) -> Path:
    pixels = cloudy()
    how = {"photometric": "rgb", "metadata": None, "software": False, "tile": (64, 64)} | how
    with tifffile.TiffWriter(path) as writer:
        for downsample in levels:
            level = np.ascontiguousarray(pixels[::downsample, ::downsample])
            writer.write(level, subfiletype=int(downsample > 1), **how)
    return path


def write_tiles(path: Path, levels: Sequence[Sequence[Any]], tile: int, compression: int | None = None) -> Path:
    """Tiles as they are, row by row; None is stored as nothing."""
    with tifffile.TiffWriter(path) as writer:
        for index, tiles in enumerate(levels):
            shape = HEIGHT // 2**index, WIDTH // 2**index, 3
            description = APERIO if path.suffix == ".svs" else None
            writer.write(
                iter(tiles), shape=shape, dtype="uint8", tile=(tile, tile), photometric="rgb", compression=compression,
                description=description, subfiletype=int(index > 0 and description is None),
                metadata=None, software=False,
            )  # fmt: skip
    return path


def tiles_of(pixels: np.ndarray, tile: int) -> Iterator[np.ndarray]:
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)))
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            yield np.ascontiguousarray(padded[y : y + tile, x : x + tile])


JPEG = {"compression": "jpeg", "compressionargs": {"level": 85}}
YCBCR = JPEG | {"photometric": "ycbcr"}
STORED = {
    "jpeg rgb": JPEG,
    "jpeg 4:4:4": YCBCR | {"subsampling": (1, 1)},
    "jpeg 4:2:2": YCBCR | {"subsampling": (2, 1)},
    "jpeg 4:2:0": YCBCR | {"subsampling": (2, 2)},
    "jpeg odd tiles": YCBCR | {"subsampling": (2, 2), "tile": (112, 48)},
    "lzw": {"compression": "lzw"},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "zlib"},
    "deflate, predictor": {"compression": "zlib", "predictor": True, "tile": (48, 80)},
    "uncompressed": {},
    "uncompressed, tile larger than the slide": {"tile": (512, 512)},
}


@pytest.mark.parametrize("how", STORED.values(), ids=STORED.keys())
def test_tiles_give_the_readers_bytes(tmp_path, how):
    path = write(tmp_path / "painted.tiff", how)
    with open_slide(path, mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide)) == "tiles"
        assert assert_same_as_reader(slide, grid_of(slide, level=1)) == "tiles"


def test_overlapping_patches_are_the_readers_bytes(tmp_path):
    with open_slide(write(tmp_path / "painted.tiff", YCBCR), mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide, patch=150, step=55)) == "tiles"


@pytest.mark.parametrize(("patch", "read"), [(32, 64), (50, 117), (20, 80)])
def test_area_averaged_patches_are_the_readers_bytes(tmp_path, patch, read):
    with open_slide(write(tmp_path / "painted.tiff", YCBCR), mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide, patch=patch, read=read, step=read)) == "tiles"


@pytest.mark.parametrize(("patch", "read", "step"), [(32, 64, 32), (32, 64, 33), (16, 64, 28), (24, 48, 48)])
def test_patches_averaged_tile_by_tile_are_the_readers_bytes(tmp_path, patch, read, step):
    with open_slide(write(tmp_path / "painted.tiff", YCBCR), mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide, patch=patch, read=read, step=step)) == "tiles"


def test_wide_level_is_read_in_bands_with_the_readers_bytes(tmp_path, monkeypatch):
    with open_slide(write(tmp_path / "painted.tiff", YCBCR), mpp=0.5) as slide:
        grid = grid_of(slide, patch=64, step=16)
        tiled = find_tiled_level(slide.info.path, slide.info.levels[0])
        assert tiled is not None
        assert (np.diff(plan_tiles(tiled, grid.coords, 1.0, 64).tiles) > 0).all()  # file order, each tile once
        monkeypatch.setattr(plan, "MOST_OPEN_BYTES", 2**20)
        banded = plan_tiles(tiled, grid.coords, 1.0, 64).tiles
        twice = len(banded) - len(np.unique(banded))
        assert 0 < twice <= tiled.offsets.shape[0] * (np.diff(banded) < 0).sum()
        assert assert_same_as_reader(slide, grid) == "tiles"


def test_patch_over_the_edge_is_white_there(tmp_path):
    with open_slide(write(tmp_path / "painted.tiff", {}), mpp=0.5) as slide:
        coords = np.array([[400, 280]], np.int32)
        grid = PatchGrid(coords, np.ones(1, np.float32), Sampling(64, 0, 64, 64, 64, 0.5))
        with open_stream(slide, grid, batch_size=4, workers=1) as stream:
            (batch,) = stream
    assert stream.path == "tiles"
    assert (batch.patches[0, :, 30:] == 255).all()
    assert (batch.patches[0, 30:] == 255).all()
    assert np.array_equal(batch.patches[0, :30, :30], cloudy()[280:310, 400:430])


def test_missing_tiles_show_what_the_reader_shows(tmp_path):
    tiles = [None if number in {3, 9, 10} else tile for number, tile in enumerate(tiles_of(cloudy(), 64))]
    path = write_tiles(tmp_path / "sparse.tiff", [tiles], 64)
    with open_slide(path, mpp=0.5) as slide:
        assert (read_patch(slide, 200, 8, Sampling(32, 0, 32, 32, 32, 0.5)) == 255).all()
        assert assert_same_as_reader(slide, grid_of(slide)) == "tiles"


def test_missing_tile_of_a_coarser_aperio_level_shows_the_finer_one(tmp_path):
    """Missing tile of a coarser aperio level shows what the reader makes of the finer one."""
    fine = list(tiles_of(cloudy(), 64))
    coarse = list(tiles_of(np.ascontiguousarray(cloudy()[::2, ::2]), 64))
    coarse = [None if number == 5 else tile for number, tile in enumerate(coarse)]
    with open_slide(write_tiles(tmp_path / "sparse.svs", [fine, coarse], 64)) as slide:
        assert len(slide.info.levels) == 2
        assert assert_same_as_reader(slide, grid_of(slide, level=1)) == "tiles"


def jpeg2000(pixels: np.ndarray, level: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=level, codecformat="j2k", mct=False))


@pytest.mark.parametrize("quality", [0, 40], ids=["lossless", "lossy"])
@pytest.mark.parametrize("compression", [33003, 33005], ids=["YCbCr", "RGB"])
def test_aperio_jpeg_2000_tiles_give_the_readers_bytes(tmp_path, compression, quality):
    tiles = [jpeg2000(tile, quality) for tile in tiles_of(cloudy(), 128)]
    with open_slide(write_tiles(tmp_path / "painted.svs", [tiles], 128, compression)) as slide:
        assert assert_same_as_reader(slide, grid_of(slide)) == "tiles"


def test_aperio_jpeg_2000_colours_are_the_readers_bytes_for_every_chroma(tmp_path):
    luma = np.random.default_rng(5).integers(0, 256, (256, 256), np.uint8)
    blue, red = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    tiles = [jpeg2000(np.dstack([luma, blue, red]), 0)] * 4
    with open_slide(write_tiles(tmp_path / "painted.svs", [tiles], 256, 33003)) as slide:
        assert assert_same_as_reader(slide, grid_of(slide)) == "tiles"


def test_patches_between_the_pixels_of_a_level_are_the_readers_bytes(tmp_path):
    path = write(tmp_path / "painted.tiff", YCBCR, levels=(1, 3))
    with open_slide(path, mpp=0.5) as slide:
        assert slide.info.levels[1].downsample % 1 != 0
        assert_same_as_reader(slide, grid_of(slide, level=1))


def test_tile_that_cannot_be_decoded_raises_unreadable_slide(tmp_path):
    path = write(tmp_path / "broken.tiff", YCBCR)
    with tifffile.TiffFile(path) as tiff:
        offset, byte_count = tiff.pages[0].dataoffsets[17], tiff.pages[0].databytecounts[17]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(byte_count))
    with open_slide(path, mpp=0.5) as slide, pytest.raises(UnreadableSlide, match="broken"):
        list(open_stream(slide, grid_of(slide), batch_size=7, workers=2))


def test_slide_without_tiles_is_read_as_regions(tmp_path):
    path = tmp_path / "painted.png"
    cv2.imwrite(str(path), cloudy())
    with open_slide(path, mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide)) == "regions"


def test_stream_says_why_it_reads_regions(tmp_path):
    path = tmp_path / "painted.png"
    cv2.imwrite(str(path), cloudy())
    with open_slide(path, mpp=0.5) as slide, open_stream(slide, grid_of(slide), batch_size=7, workers=2) as stream:
        assert stream.why == "the file does not store this level as tiles of 8-bit RGB"


@pytest.mark.parametrize(("patch", "read"), [(256, 256), (224, 224), (100, 199)])
def test_real_slide_streams_from_tiles(bundled_slide, patch, read):
    with open_slide(bundled_slide) as slide:
        assert assert_same_as_reader(slide, grid_of(slide, patch=patch, read=read, step=read)) == "tiles"


def test_every_further_slide_streams_the_readers_bytes(shared_slides):
    streamed = 0
    for path in sorted(shared_slides.rglob("*")):
        if path.suffix not in {".svs", ".tiff", ".tif", ".dcm"}:
            continue
        try:
            slide = open_slide(path, mpp=0.5)
        except AtlasPatchError:
            continue
        with slide:
            try:
                read_patch(slide, 0, 0, Sampling(8, 0, 8, 8, 8, 0.5))
            except UnreadableSlide:
                continue
            for level in range(len(slide.info.levels)):
                assert_same_as_reader(slide, grid_of(slide, patch=64, step=200, level=level))
                streamed += 1
    assert streamed >= 6


@pytest.mark.parametrize("step", [64, 32], ids=["apart", "overlapping"])
def test_patches_that_are_whole_tiles_are_the_readers_bytes(tmp_path, step):
    with open_slide(write(tmp_path / "painted.tiff", YCBCR), mpp=0.5) as slide:
        assert assert_same_as_reader(slide, grid_of(slide, patch=64, step=step)) == "tiles"


def test_an_uncompressed_tiff_with_padded_tiles_is_read_by_the_tiff_reader(tmp_path):
    """An uncompressed tiff whose tiles are padded is read by the tiff reader as openslides sentence says."""
    scale = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    path = write(tmp_path / "padded.tif", {"tile": (48, 16), **scale}, levels=(1,))
    corner = Sampling(48, 0, 48, 48, 48, 0.5)

    with open_slide(path) as slide, pytest.raises(UnreadableSlide, match="open it with --reader-type tiff"):
        read_patch(slide, 0, 0, corner)

    with open_slide(path, reader="tiff") as slide:
        assert np.array_equal(read_patch(slide, 0, 0, corner), cloudy()[:48, :48])
