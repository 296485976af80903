"""Tiles that are not stored are background outside tissue, and a warning with number and place inside it."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from paint import TILE, frames_of, write_zarr_image
from rounds import examples
from shapely import box
from sparse_tissue import (
    ALL,
    COLUMNS,
    DEEP,
    GLASS,
    HEIGHT,
    ROWS,
    SCAN,
    TISSUE,
    WIDTH,
    write_sparse,
    write_sparse_series,
)

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides import Region, open_slide
from atlaspatch_core.tissue import TissueSpec, segment_tissue
from atlaspatch_core.tissue.absent_tiles import absent_in_tissue

pytestmark = pytest.mark.quick


def write_sparse_store(path: Path, absent: set[tuple[int, int]]) -> Path:
    """Write a store of chunks of 256 px, and take some of the first level away."""
    write_zarr_image(zarr.open_group(str(path), mode="w", zarr_format=2), SCAN, "yxc")
    for row, column in absent:
        (path / "0" / f"{row}.{column}.0").unlink()
    return path


def missing(path: Path, reader: str | None = None) -> dict[str, float]:
    """Return what the mask of a slide says of tiles that are missing."""
    with open_slide(path, reader=reader) as slide:
        polygons = segment_tissue(slide, TissueSpec(overview_mpp=4.0), {}).polygons
        return absent_in_tissue(slide.info, polygons)


@given(
    inside=st.sets(st.sampled_from(DEEP), max_size=9),
    outside=st.sets(st.sampled_from(GLASS), max_size=len(GLASS)),
    all_glass=st.booleans(),
)
@examples(20)
def test_tiles_that_are_missing_inside_tissue_are_counted_and_no_others(inside, outside, all_glass):
    absent = inside | (set(GLASS) if all_glass else outside)
    with tempfile.TemporaryDirectory() as folder:
        path = write_sparse(Path(folder) / "a.tif", absent)
        found = missing(path)
        with open_slide(path) as slide:
            assert len(slide.info.levels) == 2
    assert found.get("absent_tiles", 0) == len(inside)
    if inside:
        row, column = min(inside)
        assert (found["absent_x"], found["absent_y"], found["absent_level"]) == (column * TILE, row * TILE, 0)


@given(
    inside=st.sets(st.sampled_from(DEEP), max_size=3),
    outside=st.sets(st.sampled_from(GLASS), max_size=len(GLASS)),
    shuffle=st.one_of(st.none(), st.integers(0, 9)),
    reader=st.sampled_from(["openslide", "dicom"]),
)
@examples(8)
def test_frames_that_dicom_lacks_inside_tissue_are_counted_and_no_others(inside, outside, shuffle, reader: str):
    with tempfile.TemporaryDirectory() as folder:
        path = write_sparse_series(Path(folder) / "a", inside | outside, shuffle)
        found = missing(path, reader)
        with open_slide(path, reader=reader) as slide:
            pixels = slide.read_region(Region(0, 0, 0, WIDTH, HEIGHT))
    assert found.get("absent_tiles", 0) == len(inside)
    for row, column in ALL:
        at = slice(row * TILE, (row + 1) * TILE), slice(column * TILE, (column + 1) * TILE)
        expected = np.full((TILE, TILE, 3), 255) if (row, column) in inside | outside else SCAN[at]
        assert np.array_equal(pixels[at], expected)


@given(tile=st.sampled_from(DEEP), shuffle=st.integers(0, 9), reader=st.sampled_from(["openslide", "dicom"]))
@examples(4)
def test_a_damaged_frame_in_an_order_of_its_own_is_found_at_its_place(tile, shuffle: int, reader: str):
    row, column = tile
    with tempfile.TemporaryDirectory() as folder:
        path = write_sparse_series(Path(folder) / "a", {(0, 0)}, shuffle)
        kept = [number for number in range(COLUMNS * ROWS) if number]
        np.random.default_rng(shuffle).shuffle(kept)
        content = bytearray((path / "0-1.dcm").read_bytes())
        start, size = frames_of(content)[kept.index(row * COLUMNS + column)]
        content[start + size // 2 : start + size] = bytes(size - size // 2)
        (path / "0-1.dcm").write_bytes(content)
        with open_slide(path, reader=reader) as slide:
            slide.read_region(Region(0, 0, 0, TILE, TILE))
            with pytest.raises(UnreadableSlide, match=f"the stored frame in row {row}, column {column}: "):
                slide.read_region(Region(column * TILE, row * TILE, 0, TILE, TILE))


def test_a_chunk_that_is_missing_inside_tissue_is_counted(tmp_path: Path):
    found = missing(write_sparse_store(tmp_path / "a.zarr", {(1, 1)}))
    assert found == {"absent_tiles": 1, "absent_level": 0, "absent_x": 256, "absent_y": 256}
    shutil.rmtree(tmp_path / "a.zarr")
    assert missing(write_sparse_store(tmp_path / "a.zarr", set())) == {}


def test_a_missing_tile_that_an_outline_covers_is_counted(tmp_path: Path):
    with open_slide(write_sparse(tmp_path / "a.tif", {(0, 0)})) as slide:
        assert absent_in_tissue(slide.info, [box(0, 0, 60, 60)])["absent_tiles"] == 1
        assert absent_in_tissue(slide.info, [box(200, 200, 300, 300)]) == {}


def test_the_painted_tissue_has_tiles_within_and_without():
    assert len(DEEP) > 20
    assert len(GLASS) > 20
    assert np.isclose(TISSUE.mean(), 0.5, atol=0.05)
