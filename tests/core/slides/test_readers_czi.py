"""Zeiss CZI: mosaics with an origin of their own, pyramid, scale."""

import struct
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibCZIrw import czi
from rounds import examples
from tile_comparison import assert_same_as_reader, grid_of

from atlaspatch_core.errors import MissingExtra, UnknownScale, UnreadableSlide
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Level, Region

WIDTH, HEIGHT = 400, 300


def cloudy(seed: int = 5) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16 + 1, WIDTH // 16 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_czi(path: Path, *, scale: float = 0.25e-6, planes: int = 1, **how: Any) -> Path:
    """Three quarters of a mosaic that begins at (-100, 50); the last quarter was not scanned."""
    with czi.create_czi(str(path), **how) as file:
        for plane in range(planes):
            pixels = cloudy(5 + plane)[..., ::-1]
            for x, y in ((0, 0), (200, 0), (0, 150)):
                tile = np.ascontiguousarray(pixels[y : y + 150, x : x + 200])
                file.write(tile, location=(x - 100, y + 50), plane={"Z": plane})
        file.write_metadata(document_name="a", scale_x=scale, scale_y=scale)
    return path


def scanned(plane: int = 0) -> np.ndarray:
    pixels = cloudy(5 + plane).copy()
    pixels[150:, 200:] = 255
    return pixels


def add_pyramid(path: Path, factor: int) -> np.ndarray:
    """Have a second layer in the file: a tile that says it stands for ``factor`` times its own size."""
    small = np.ascontiguousarray(cloudy()[::factor, ::factor])
    write_layers(path, cloudy(), small, factor, [(slice(0, 160), slice(0, 210)), (slice(0, 160), slice(210, None)),
                                                 (slice(160, None), slice(0, 210))])  # fmt: skip
    return small


def write_layers(
    path: Path,
    pixels: np.ndarray,
    small: np.ndarray,
    factor: int,
    pieces: Sequence[tuple[slice, slice]] = ((slice(0, None), slice(0, None)),),
) -> None:
    """Write pieces of a mosaic, and one tile of a layer that is ``factor`` times smaller."""
    height, width = small.shape[:2]
    with czi.create_czi(str(path)) as file:
        for rows, columns in pieces:
            file.write(np.ascontiguousarray(pixels[rows, columns, ::-1]), location=(columns.start, rows.start))
        file.write(np.ascontiguousarray(small[..., ::-1]), location=(0, 0))
        file.write_metadata(document_name="a", scale_x=0.25e-6, scale_y=0.25e-6)
    content = bytearray(path.read_bytes())
    for side, stored, full in ((b"X", width, width * factor), (b"Y", height, height * factor)):
        # DimensionEntry: dimension, start, size, start coordinate, stored size
        entry = struct.pack("<4siifi", side, 0, stored, 0.0, 0)
        changed = struct.pack("<4siifi", side, 0, full, 0.0, stored)
        plain = [entry, struct.pack("<4siifi", side, 0, stored, 0.0, stored)]
        assert sum(content.count(one) for one in plain) >= 2
        for one in plain:
            content = content.replace(one, changed)
    path.write_bytes(content)


def whole(path: Path, level: int = 0, **options: Any) -> np.ndarray:
    with open_slide(path, **options) as slide:
        size = slide.info.levels[level]
        return slide.read_region(Region(0, 0, level, size.width, size.height))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UnreadableSlide) as caught:
        open_slide(path, **options)
    return str(caught.value)


def test_mosaic_tells_its_size_and_scale_and_shows_its_pixels(tmp_path):
    path = write_czi(tmp_path / "a.czi")
    with open_slide(path) as slide:
        info = slide.info
        assert (info.stem, info.reader, info.levels) == ("a", "czi", (Level(400, 300, 1.0),))
        assert (info.mpp, info.mpp_source, info.vendor) == (0.25, "czi.Scaling-X", "zeiss")
    assert np.array_equal(whole(path), scanned())


def test_outside_the_mosaic_and_where_nothing_was_scanned_it_is_white(tmp_path):
    with open_slide(write_czi(tmp_path / "a.czi")) as slide:
        region = slide.read_region(Region(-20, -10, 0, WIDTH + 70, HEIGHT + 40))
    expected = np.full((HEIGHT + 40, WIDTH + 70, 3), 255, np.uint8)
    expected[10 : 10 + HEIGHT, 20 : 20 + WIDTH] = scanned()
    assert np.array_equal(region, expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_stored_pyramid_gives_levels_and_their_own_pixels(tmp_path, factor):
    small = add_pyramid(tmp_path / "a.czi", factor)
    with open_slide(tmp_path / "a.czi") as slide:
        assert [(level.width, level.height) for level in slide.info.levels] == [
            (WIDTH, HEIGHT), (WIDTH // factor, HEIGHT // factor),
        ]  # fmt: skip
    pixels = whole(tmp_path / "a.czi", 1)
    assert np.array_equal(pixels, small[: HEIGHT // factor, : WIDTH // factor])
    assert np.array_equal(whole(tmp_path / "a.czi")[:160], cloudy()[:160])


@given(width=st.integers(300, 2500), height=st.integers(20, 90), factor=st.integers(2, 8))
@examples(15)
def test_px_of_a_level_stand_where_its_factor_says_along_both_axes(width: int, height: int, factor: int):
    """Sides are rounded to whole px, so that of a strip their ratio is off."""
    across, down = np.meshgrid(np.arange(width) // factor, np.arange(height) // factor)
    small = np.dstack([across % 251, across // 251, down])[::factor, ::factor].astype(np.uint8)
    small = np.ascontiguousarray(small[: height // factor, : width // factor])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.czi"
        write_layers(path, np.zeros((height, width, 3), np.uint8), small, factor)
        with open_slide(path) as slide:
            assert slide.info.levels[1].downsamples == (factor, factor)
            last = small.shape[1] - 1, small.shape[0] - 1
            corner = slide.read_region(Region(last[0] * factor, last[1] * factor, 1, 1, 1))
            middle = slide.read_region(Region(last[0] // 2 * factor, last[1] // 2 * factor, 1, 1, 1))
    assert corner[0, 0].tolist() == small[last[1], last[0]].tolist()
    assert middle[0, 0].tolist() == small[last[1] // 2, last[0] // 2].tolist()


def test_of_focal_planes_the_middle_one_is_shown(tmp_path):
    assert np.array_equal(whole(write_czi(tmp_path / "a.czi", planes=3)), scanned(1))


def test_patches_and_threads_read_the_same_pixels(tmp_path):
    path = write_czi(tmp_path / "a.czi")
    corners = [(x, y) for y in range(0, HEIGHT - 40, 13) for x in range(0, WIDTH - 40, 17)]
    with open_slide(path) as slide, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(slide.read_region, [Region(x, y, 0, 40, 40) for x, y in corners]))
        assert_same_as_reader(slide, grid_of(slide))
    assert all(np.array_equal(a, scanned()[y : y + 40, x : x + 40]) for a, (x, y) in zip(found, corners, strict=True))


def test_czi_without_a_scale_needs_the_users(tmp_path):
    path = write_czi(tmp_path / "a.czi", scale=0.0)
    with pytest.raises(UnknownScale, match=r"^a: "):
        open_slide(path)
    assert np.array_equal(whole(path, mpp=0.5), scanned())


def test_fluorescence_and_deep_pixels_are_refused(tmp_path):
    with czi.create_czi(str(tmp_path / "deep.czi")) as file:
        file.write(cloudy().astype(np.uint16))
    with czi.create_czi(str(tmp_path / "many.czi")) as file:
        for channel in range(2):
            file.write(np.ascontiguousarray(cloudy()[..., :1]), plane={"C": channel})
    assert "has 1 channels of Bgr48" in refused(tmp_path / "deep.czi", mpp=0.5)
    assert "has 2 channels of Gray8" in refused(tmp_path / "many.czi", mpp=0.5)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_czi_that_is_cut_short_is_refused(tmp_path, share):
    path = write_czi(tmp_path / "a.czi")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "cut short" in refused(path)


def test_what_is_no_czi_is_refused(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"\x89PNG")
    assert refused(tmp_path / "a.czi", reader="czi").startswith("a: a.czi is no CZI")


def test_without_its_library_the_line_to_install_it_is_named(tmp_path, monkeypatch):
    path = write_czi(tmp_path / "a.czi")
    monkeypatch.setitem(sys.modules, "pylibCZIrw.czi", None)
    with pytest.raises(MissingExtra, match=r"^a: reading it needs pylibCZIrw.*pip install 'atlaspatch\[czi\]'"):
        open_slide(path)
