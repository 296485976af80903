"""Tiles that are not stored are background outside tissue, and a warning with number and place inside it."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from paint import (
    TILE,
    Page,
    Pyramid,
    forget_frames,
    frames_of,
    paint_scan,
    shrink,
    write_pages,
    write_series,
    write_zarr_image,
)
from paths import DATA
from processes import run_cli
from shapely import box

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides import Region, open_slide
from atlaspatch_core.tissue import TissueSpec, segment_tissue
from atlaspatch_core.tissue.absent_tiles import absent_in_tissue

pytestmark = pytest.mark.quick
WIDTH, HEIGHT = 1024, 768
SCAN = paint_scan(WIDTH, HEIGHT, 4)
COLUMNS, ROWS = WIDTH // TILE, HEIGHT // TILE
TISSUE = SCAN.min(axis=2) < 240
"""An ellipse in the middle."""


def tile_is(row: int, column: int, least: float) -> bool:
    """Tell whether a tile holds at least that share of tissue."""
    return TISSUE[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE].mean() >= least


ALL = [(row, column) for row in range(ROWS) for column in range(COLUMNS)]
DEEP = [
    (row, column)
    for row, column in ALL
    if all(0 <= row + down < ROWS and 0 <= column + right < COLUMNS and tile_is(row + down, column + right, 1)
           for down in (-1, 0, 1) for right in (-1, 0, 1))
]  # fmt: skip
GLASS = [place for place in ALL if not tile_is(*place, 0.001)]


def write_sparse(path: Path, absent: set[tuple[int, int]]) -> Path:
    """Write two levels, and forget where some tiles of the first lie."""
    write_pages(path, [Page(SCAN), Page(shrink(SCAN, 4), reduced=True)])
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages.first.tags[name]
            tag.overwrite([0 if divmod(number, COLUMNS) in absent else value for number, value in enumerate(tag.value)])
    return path


def write_sparse_store(path: Path, absent: set[tuple[int, int]]) -> Path:
    """Write a store of chunks of 256 px, and take some of the first level away."""
    write_zarr_image(zarr.open_group(str(path), mode="w", zarr_format=2), SCAN, "yxc")
    for row, column in absent:
        (path / "0" / f"{row}.{column}.0").unlink()
    return path


def write_sparse_series(path: Path, absent: set[tuple[int, int]], shuffle: int | None = None) -> Path:
    """Write a DICOM series of two levels, the first without some frames."""
    write_series(path, [Pyramid((SCAN,), (0, 0), None, (1, 4))])
    forget_frames(path / "0-1.dcm", absent, shuffle)
    return path


def missing(path: Path, reader: str | None = None) -> dict[str, float]:
    """Return what the mask of a slide says of tiles that are missing."""
    with open_slide(path, reader=reader) as slide:
        polygons = segment_tissue(slide, TissueSpec(overview_mpp=4.0), {}).polygons
        return absent_in_tissue(slide.info, polygons)


@given(
    inside=st.sets(st.sampled_from(DEEP), max_size=3),
    outside=st.sets(st.sampled_from(GLASS), max_size=len(GLASS)),
    all_glass=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_tiles_that_are_missing_inside_tissue_are_counted_and_no_others(inside, outside, all_glass):
    absent = inside | (set(GLASS) if all_glass else outside)
    with tempfile.TemporaryDirectory() as folder:
        found = missing(write_sparse(Path(folder) / "a.tif", absent))
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
@settings(max_examples=8, deadline=None)
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
@settings(max_examples=4, deadline=None)
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


def test_the_run_warns_of_number_and_place_end_to_end(tmp_path: Path):
    write_sparse(tmp_path / "a.tif", {(5, 7), (5, 8), *GLASS})
    plugin = DATA / "written_before" / "colour_encoder.py"
    words = "encode-slide a.tif -o out --patch-encoders colour --patch-size 64 --target-mpp 0.5 --device cpu"
    done = run_cli(*words.split(), "--feature-plugin", plugin, folder=tmp_path)
    assert done.returncode == 0, done
    assert "2 tiles are missing inside tissue, the first at (448, 320) of level 0" in " ".join(done.stdout.split())


def test_the_painted_tissue_has_tiles_within_and_without():
    assert len(DEEP) > 20
    assert len(GLASS) > 20
    assert np.isclose(TISSUE.mean(), 0.5, atol=0.05)
