"""OME-Zarr: versions of store and metadata, axes, scale, edges."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from tile_comparison import assert_same_as_reader, grid_of

from atlaspatch_core.errors import MissingExtra, UnknownScale, UnreadableSlide
from atlaspatch_core.slides.readers import is_slide_folder, open_slide
from atlaspatch_core.slides.slide import Level, Region

WIDTH, HEIGHT = 333, 257
SPACE = {"type": "space", "unit": "micrometer"}


def cloudy(seed: int = 5) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16 + 1, WIDTH // 16 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def arranged(pixels: np.ndarray, letters: str) -> np.ndarray:
    """(height, width, channels) with the axes that are asked for; t and z of size 1."""
    missing = [letter for letter in "tz" if letter in letters]
    full = pixels.reshape((1,) * len(missing) + pixels.shape)
    have = [*missing, "y", "x", "c"]
    return np.ascontiguousarray(full.transpose([have.index(letter) for letter in letters]))


def write_store(
    path: Path,
    letters: str = "yxc",
    *,
    zarr_format: int = 3,
    version: str = "0.5",
    unit: str | None = "micrometer",
    scale: float = 0.25,
    pixels: np.ndarray | None = None,
    chunk: int = 64,
) -> Path:
    """Two levels of every pixel and every second one, the second rounded up."""
    pixels = cloudy() if pixels is None else pixels
    root: Any = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    datasets = []
    for number, step in enumerate((1, 2)):
        data = arranged(pixels[::step, ::step], letters)
        chunks = tuple(chunk if letter in "yx" else data.shape[at] for at, letter in enumerate(letters))
        root.create_array(str(number), data=data, chunks=chunks)
        factors = [scale * step if letter in "yx" else 1.0 for letter in letters]
        datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}} | {
        side: {"type": "space"} | ({"unit": unit} if unit else {}) for side in "zyx"
    }
    multiscales = [{"version": version, "axes": [{"name": one} | kinds[one] for one in letters], "datasets": datasets}]
    root.attrs.update(
        {"ome": {"version": version, "multiscales": multiscales}} if version == "0.5" else {"multiscales": multiscales}
    )
    return path


def whole(path: Path, level: int = 0, **options: Any) -> np.ndarray:
    with open_slide(path, **options) as slide:
        size = slide.info.levels[level]
        return slide.read_region(Region(0, 0, level, size.width, size.height))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UnreadableSlide) as caught, open_slide(path, **options) as slide:
        slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))
    return str(caught.value)


@pytest.mark.parametrize(("zarr_format", "version"), [(2, "0.4"), (3, "0.5")])
@pytest.mark.parametrize("letters", ["yxc", "cyx", "tczyx", "zyxc"])
def test_store_tells_its_levels_and_scale_and_shows_its_pixels(tmp_path, letters, zarr_format, version):
    path = write_store(tmp_path / "a.ome.zarr", letters, zarr_format=zarr_format, version=version)
    assert is_slide_folder(path)
    with open_slide(path) as slide:
        info = slide.info
        assert (info.stem, info.reader, info.mpp, info.mpp_source) == ("a", "omezarr", 0.25, "ngff.scale-x")
        assert info.levels == (Level(333, 257, 1.0), Level(167, 129, (333 / 167 + 257 / 129) / 2))
    assert np.array_equal(whole(path), cloudy())
    assert np.array_equal(whole(path, 1), cloudy()[::2, ::2])


def test_outside_the_store_is_white_and_its_edge_is_not_stretched(tmp_path):
    path = write_store(tmp_path / "a.zarr")
    with open_slide(path) as slide:
        region = slide.read_region(Region(-20, -10, 0, WIDTH + 70, HEIGHT + 40))
    expected = np.full((HEIGHT + 40, WIDTH + 70, 3), 255, np.uint8)
    expected[10 : 10 + HEIGHT, 20 : 20 + WIDTH] = cloudy()
    assert np.array_equal(region, expected)


@pytest.mark.parametrize(("unit", "scale", "mpp"), [("nanometer", 500.0, 0.5), ("millimeter", 0.0005, 0.5)])
def test_units_of_length_are_turned_into_micrometres(tmp_path, unit, scale, mpp):
    with open_slide(write_store(tmp_path / "a.zarr", unit=unit, scale=scale)) as slide:
        assert slide.info.mpp == pytest.approx(mpp, rel=1e-12)


@pytest.mark.parametrize("unit", [None, "pixel"])
def test_pixels_without_a_unit_of_length_need_the_users_scale(tmp_path, unit):
    path = write_store(tmp_path / "a.zarr", unit=unit)
    with pytest.raises(UnknownScale, match=r"^a: "):
        open_slide(path)
    assert np.array_equal(whole(path, mpp=0.5), cloudy())


def test_scale_of_all_levels_multiplies_that_of_each(tmp_path):
    path = write_store(tmp_path / "a.zarr", scale=1.0)
    root: Any = zarr.open_group(str(path), mode="r+")
    ome = root.attrs["ome"]
    ome["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [0.5, 0.5, 1.0]}]
    root.attrs["ome"] = ome
    with open_slide(path) as slide:
        assert slide.info.mpp == 0.5


def test_of_focal_planes_the_middle_one_is_shown(tmp_path):
    root: Any = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    planes = np.stack([arranged(cloudy(seed), "cyx") for seed in (1, 2, 3)], axis=1)
    root.create_array("0", data=planes[np.newaxis], chunks=(1, 3, 1, 64, 64))
    root.attrs["ome"] = {"multiscales": [{"axes": [{"name": one} for one in "tczyx"], "datasets": [{"path": "0"}]}]}
    assert np.array_equal(whole(tmp_path / "a.zarr", mpp=0.5), cloudy(2))


def test_largest_image_of_a_store_of_images_is_the_slide(tmp_path):
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").attrs["bioformats2raw.layout"] = 3
    write_store(tmp_path / "a.zarr" / "0", pixels=cloudy()[:100, :100])
    write_store(tmp_path / "a.zarr" / "1")
    assert np.array_equal(whole(tmp_path / "a.zarr"), cloudy())


def test_pyramid_without_ngff_is_found_by_its_sizes(tmp_path):
    root: Any = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for name, step in (("0", 1), ("1", 2), ("2", 5)):
        root.create_array(name, data=np.ascontiguousarray(cloudy()[::step, ::step]), chunks=(64, 64, 3))
    root.create_array("label", data=np.zeros((30, 200, 3), np.uint8))
    with open_slide(tmp_path / "a.zarr", mpp=0.5) as slide:
        assert [(level.width, level.height) for level in slide.info.levels] == [(333, 257), (167, 129), (67, 52)]
    assert np.array_equal(whole(tmp_path / "a.zarr", mpp=0.5), cloudy())


@pytest.mark.parametrize("letters", ["yx", "yxc"])
def test_grey_is_shown_as_grey(tmp_path, letters):
    grey = cloudy()[..., :1]
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=grey[..., 0] if letters == "yx" else grey, chunks=(64, 64, 1)[: len(letters)])
    assert np.array_equal(whole(path, mpp=0.5), np.repeat(grey, 3, 2))


def test_patches_and_threads_read_the_same_pixels(tmp_path):
    path = write_store(tmp_path / "a.zarr")
    corners = [(x, y) for y in range(0, HEIGHT - 40, 17) for x in range(0, WIDTH - 40, 19)]
    with open_slide(path) as slide, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(slide.read_region, [Region(x, y, 0, 40, 40) for x, y in corners]))
        assert_same_as_reader(slide, grid_of(slide))
    assert all(np.array_equal(a, cloudy()[y : y + 40, x : x + 40]) for a, (x, y) in zip(found, corners, strict=True))


def test_pixels_that_cannot_be_shown_rightly_are_refused(tmp_path):
    deep = write_store(tmp_path / "deep.zarr", pixels=cloudy().astype(np.uint16))
    assert "3 channels of uint16" in refused(deep)
    many = write_store(tmp_path / "many.zarr", pixels=np.dstack([cloudy(), cloudy()]))
    assert "6 channels of uint8" in refused(many)
    large = tmp_path / "large.zarr"
    zarr.create_array(str(large), shape=(8_000, 8_000, 3), chunks=(8_000, 8_000, 3), dtype="uint8")
    assert "its chunks are 8000 × 8000 px" in refused(large, mpp=0.5)


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "file.zarr").write_text("no store")
    zarr.open_group(str(tmp_path / "nothing.zarr"), mode="w")
    broken = write_store(tmp_path / "broken.zarr")
    (broken / "zarr.json").write_text("{")
    assert "no Zarr store" in refused(tmp_path / "empty.zarr")
    assert "no Zarr store" in refused(tmp_path / "file.zarr")
    assert "neither an NGFF image nor an array" in refused(tmp_path / "nothing.zarr")
    assert refused(broken).startswith("broken: broken.zarr is no Zarr store that can be read")


def test_damaged_chunk_is_refused_when_it_is_read(tmp_path):
    path = write_store(tmp_path / "a.zarr")
    chunk = path / "0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(b"\0" * chunk.stat().st_size)
    assert refused(path).startswith("a: the pixels at (0, 0) of level 0 cannot be decoded")


def test_without_zarr_the_line_to_install_it_is_named(tmp_path, monkeypatch):
    path = write_store(tmp_path / "a.zarr")
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingExtra, match=r"^a: reading it needs zarr.*run: pip install 'atlaspatch\[omezarr\]'"):
        open_slide(path)
