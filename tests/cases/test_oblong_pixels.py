"""Pixels that are not square are read as squares where that is asked for, and every result lies where it is."""

import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from oblong_pixels import OblongScan, oblong_scans, write_oblong
from paths import DATA
from shapely import box

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import ImplausibleScale
from atlaspatch_core.interop import export_slides
from atlaspatch_core.interop.export.values import ExportStatus
from atlaspatch_core.patches import GridSpec, lay_grid, stream_patches
from atlaspatch_core.pipeline import process
from atlaspatch_core.slides import Region, open_slide
from atlaspatch_core.tissue.absent_tiles import absent_in_tissue
from atlaspatch_core.validity import make_recipe, stored_in_files, validities
from atlaspatch_core.validity.outcome import Outcome, Status

pytestmark = pytest.mark.quick
SIDE = 32
SCAN = OblongScan((0.25, 0.5), (1200, 520), (30, 40, 190, 170))
SQUARE = OblongScan((0.5, 0.5), (600, 520), (30, 40, 190, 170))


def recipe(folder: Path, coords: Path | None = None, **more):
    values: dict[str, Any] = {
        "output": folder / "out",
        "slides": {"folders": [folder / "a.tif"], "square_pixels": True} | more,
        "plugins": [DATA / "written_before" / "colour_encoder.py"],
        "geometry": [{"patch_size": SIDE, "target_mpp": 1.0, "min_tissue": 0.95, "patch_encoders": ["colour"]}],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    values["geometry"][0] |= {"coords": coords} if coords else {}
    return make_recipe(make_project(values, origin="test"))


def run(folder: Path, **slides: Any) -> list[Outcome]:
    return list(process([SlideSource("a", folder / "a.tif")], recipe(folder, **slides)))


def boxes(path: Path) -> list[list[float]]:
    """Return left, top, right, bottom of the shapes of a GeoJSON, as it counts."""
    shapes = [feature["geometry"]["coordinates"][0] for feature in json.loads(path.read_text())["features"]]
    return [[*np.min(shape, axis=0).tolist(), *np.max(shape, axis=0).tolist()] for shape in shapes]


@pytest.mark.e2e
@given(scan=oblong_scans(), reader=st.sampled_from(["openslide", "tiff"]), mpp=st.sampled_from([1.1, 2.2]))
@settings(max_examples=25, deadline=None)
def test_each_patch_shows_the_square_that_it_is_of(scan: OblongScan, reader: str, mpp: float):
    with tempfile.TemporaryDirectory() as folder:
        path = write_oblong(Path(folder) / "a.tif", scan)
        with open_slide(path, reader=reader, square_pixels=True) as slide:
            info = slide.info
            left, top, right, bottom = (um / info.mpp for um in scan.tissue)
            grid = lay_grid(info, [box(left, top, right, bottom)], GridSpec(SIDE, target_mpp=mpp, min_tissue=1.0))
            batches = list(stream_patches(slide, grid, batch_size=4, workers=1))
    assert info.mpp == pytest.approx(max(scan.sides), rel=1e-6)
    assert info.width * info.mpp == pytest.approx(scan.size[0] * scan.sides[0], abs=info.mpp)
    assert info.height * info.mpp == pytest.approx(scan.size[1] * scan.sides[1], abs=info.mpp)
    side = grid.sampling.patch_size_level0 * info.mpp
    assert side == pytest.approx(SIDE * mpp, rel=0.06)
    assert len(grid) or mpp > 2
    for batch in batches:
        for row, patch in zip(batch.rows, batch.patches, strict=True):
            x, y = (grid.coords[row] * info.mpp).tolist()
            half = SIDE // 2
            corners = ((x, y), patch[:half, :half]), ((x + side / 2, y), patch[:half, half:])
            for place, part in (*corners, ((x, y + side / 2), patch[half:, :half])):
                expected = scan.mean_colour(*place, side / 2)
                assert np.abs(part.reshape(-1, 3).mean(axis=0) - expected).max() < 4


@given(scan=oblong_scans(), level=st.sampled_from([0, 1]), x=st.integers(-9, 300), y=st.integers(-9, 300))
@settings(max_examples=20, deadline=None)
def test_a_px_is_the_same_in_every_region(scan: OblongScan, level: int, x: int, y: int):
    with tempfile.TemporaryDirectory() as folder:
        path = write_oblong(Path(folder) / "a.tif", scan)
        with open_slide(path, reader="tiff", square_pixels=True) as slide:
            size = slide.info.levels[level]
            whole = slide.read_region(Region(0, 0, level, size.width, size.height))
            px = round(size.downsample)
            part = slide.read_region(Region(x * px, y * px, level, 40, 30))
    framed = np.pad(whole, ((9, 340), (9, 340), (0, 0)), constant_values=255)
    inside = (slice(0, max(0, size.height - y)), slice(0, max(0, size.width - x)))
    assert np.array_equal(part[inside], framed[9 + y : 39 + y, 9 + x : 49 + x][inside])


def test_without_the_option_the_slide_is_refused_and_the_option_named(tmp_path: Path):
    with pytest.raises(ImplausibleScale, match=r"--square-pixels") as caught:
        open_slide(write_oblong(tmp_path / "a.tif", SCAN))
    assert "the pixels are 0.25 × 0.5 µm" in str(caught.value)


def test_results_lie_where_they_are_end_to_end(tmp_path: Path):
    write_oblong(tmp_path / "a.tif", SCAN)
    outcomes = run(tmp_path)
    assert not [it.why for it in outcomes if it.status is Status.FAILED]
    assert "its pixels of 0.25 × 0.5 µm are read as squares of 0.5 µm" in " ".join(outcomes[0].notes)
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        corners, colours = file["coords"][:, :2] * 0.5, file["features/colour"][:, :3] * 255
        assert file.attrs["file_px_per_level0_px"].tolist() == [2, 1]
        assert (file.attrs["level0_width"], file.attrs["level0_height"], file.attrs["mpp"]) == (600, 520, 0.5)
    right, bottom = SCAN.tissue[2:]
    assert sum(x + SIDE <= right and y + SIDE <= bottom for x, y in corners.tolist()) == 12
    for (x, y), colour in zip(corners.tolist(), colours, strict=True):
        assert np.abs(SCAN.mean_colour(x, y, SIDE) - colour).max() < 2
    [outline] = boxes(tmp_path / "out" / "contours_geojson" / "a.geojson")
    assert np.abs(np.array(outline) - SCAN.tissue_px).max() <= 16
    list(export_slides(recipe(tmp_path), "geojson", tmp_path / "qupath"))
    tiles = boxes(tmp_path / "qupath" / "tissue_fraction" / "a.geojson")
    assert tiles == [[x * 4, y * 2, (x + SIDE) * 4, (y + SIDE) * 2] for x, y in corners.tolist()]
    for layout in ("clam", "trident"):
        [exported] = export_slides(recipe(tmp_path), layout, tmp_path / layout)
        assert exported.fate is ExportStatus.REFUSED
        assert "coords count squares of 2 × 1 px of the file" in exported.why
        assert not list((tmp_path / layout).rglob("*.h5"))
    assert boxes(tmp_path / "trident" / "contours_geojson" / "a.geojson") == [outline]
    assert {str(it.status) for it in run(tmp_path)} == {"reused"}
    made = recipe(tmp_path)
    assert {str(it.state) for it in validities(made, ["a"], stored_in_files(made))} == {"fresh"}


@pytest.mark.parametrize("suffix", [".geojson", ".png", "-square.png"])
def test_a_mask_that_is_supplied_in_px_of_the_file_lies_on_the_tissue(tmp_path: Path, suffix: str):
    write_oblong(tmp_path / "a.tif", SCAN)
    (tmp_path / "masks").mkdir()
    left, top, right, bottom = SCAN.tissue_px
    if suffix == ".geojson":
        ring = [[left, top], [right, top], [right, bottom + 0.37], [left, bottom], [left, top]]
        text = json.dumps({"type": "Polygon", "coordinates": [ring]})
        (tmp_path / "masks" / "a.geojson").write_text(text)
    else:
        mask = np.zeros((520, 1200), np.uint8)
        mask[top:bottom, left:right] = 255
        mask = mask[::4, ::8] if suffix == "-square.png" else mask[::4, ::4]
        cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask)
    run(tmp_path, masks=tmp_path / "masks")
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        corners = file["coords"][:, :2] * 0.5
    assert len(corners) == 12
    assert {str(it.status) for it in run(tmp_path, masks=tmp_path / "masks")} == {"reused"}


def test_an_outline_that_a_person_moves_in_qupath_moves_the_patches(tmp_path: Path):
    write_oblong(tmp_path / "a.tif", SCAN)
    run(tmp_path)
    path = tmp_path / "out" / "contours_geojson" / "a.geojson"
    ring = [[400, 100], [720, 100], [720, 300], [400, 300], [400, 100]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation"},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert run(tmp_path)[1].why == "edited by a person"
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        corners = file["coords"][:, :2]
    assert len(corners)
    assert (corners[:, 0] >= 195).all()
    assert (corners[:, 0] + 64 <= 365).all()
    assert {str(it.status) for it in run(tmp_path)} == {"reused"}


def test_slides_of_square_pixels_are_the_same_with_and_without_the_option(tmp_path: Path):
    write_oblong(tmp_path / "a.tif", SQUARE)
    without = [it.fingerprint for it in run(tmp_path, square_pixels=False)]
    outcomes = run(tmp_path)
    assert [it.fingerprint for it in outcomes] == without
    assert {str(it.status) for it in outcomes} == {"reused"}
    made = recipe(tmp_path)
    assert {str(it.state) for it in validities(made, ["a"], stored_in_files(made))} == {"fresh"}


def test_coords_that_count_px_of_the_file_are_refused(tmp_path: Path):
    write_oblong(tmp_path / "a.tif", SCAN)
    (tmp_path / "coords" / "patches").mkdir(parents=True)
    with h5py.File(tmp_path / "coords" / "patches" / "a.h5", "w") as file:
        coords = file.create_dataset("coords", data=np.array([[0, 0], [64, 0]]))
        coords.attrs.update(patch_size=SIDE, patch_size_level0=64, level0_magnification=20, target_magnification=10)
    outcomes = run(tmp_path, coords=tmp_path / "coords")
    assert "counts 1 × 1 px of the slide's file as one of level 0" in " ".join(it.why for it in outcomes)


def test_tiles_that_are_missing_are_told_where_they_are(tmp_path: Path):
    with tifffile.TiffFile(write_oblong(tmp_path / "a.tif", SCAN), mode="r+b") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages.first.tags[name]
            tag.overwrite([0 if number == 3 * 19 + 5 else value for number, value in enumerate(tag.value)])
    with open_slide(tmp_path / "a.tif", square_pixels=True) as slide:
        found = absent_in_tissue(slide.info, [box(60, 80, 380, 340)])
    assert found == {"absent_tiles": 1, "absent_level": 0, "absent_x": 5 * 64 / 2, "absent_y": 3 * 64}
