"""The slide is the largest scan of a file; its levels show it; what else the file holds is named, and can be had."""

import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from hypothesis import assume, given
from hypothesis import strategies as st
from paint import (
    LOSSY,
    Page,
    Pyramid,
    paint_scan,
    shrink,
    tiles_of,
    write_ome,
    write_pages,
    write_series,
    write_zarr_image,
)
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid
from reading import assert_names, assert_shows, show
from rounds import examples
from tiff_layouts import SIZES, Layout, layouts, pages_of

from atlaspatch_core.slides.readers.images import is_smaller_copy

pytestmark = pytest.mark.quick
FEW = examples(30)


@given(layout=layouts())
@FEW
def test_a_tiff_shows_its_largest_scan_at_every_level_and_names_the_others(layout: Layout):
    pages, slide, second = pages_of(layout)
    with tempfile.TemporaryDirectory() as folder:
        path = write_pages(Path(folder) / f"a.{layout.kind}", pages)
        shown = show(path)
        assert_shows(shown, slide, LOSSY if layout.compression == "jpeg" else 1.0)
        assert len(shown.levels) <= len(layout.factors)
        if not layout.coarse_first and not layout.second_first:
            assert len(shown.levels) == len(layout.factors)
        assert_names(shown, [layout.second] if layout.second else [])
        if second is not None:
            again = show(path, series=next(at for at, page in enumerate(pages) if page is second))
            assert_shows(again, second.pixels, LOSSY)


@given(size=SIZES, other=SIZES, first=st.booleans(), name=st.sampled_from(["B", "Label", "macro image"]))
@examples(12)
def test_an_ome_tiff_shows_its_largest_image_and_names_the_others(size, other, first, name):
    slide, section = paint_scan(*size, 1), paint_scan(*(side - 64 for side in other), 2)
    scans, names = [slide, section], ["A", name]
    if first:
        scans, names = scans[::-1], names[::-1]
    with tempfile.TemporaryDirectory() as folder:
        shown = show(path := write_ome(Path(folder) / "a.ome.tif", scans, names))
        largest = max(scans, key=lambda scan: scan.size) if name == "B" else slide
        rest = section if largest is slide else slide
        assert_shows(shown, largest)
        assert_names(shown, [rest.shape[1::-1]] if name == "B" else [])
        assert_shows(show(path, series=next(at for at, scan in enumerate(scans) if scan is rest)), rest)
        assert "holds no image number 7; it holds number 0" in show(path, series=7).refusal


@given(size=SIZES, other=SIZES, first=st.booleans(), named=st.booleans())
@examples(6)
def test_a_store_shows_its_largest_image_and_names_the_others(size, other, first, named):
    slide, section = paint_scan(size[0] + 64, size[1], 1), paint_scan(other[0] - 64, 300, 2)
    scans = [section, slide] if first else [slide, section]
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.open_group(str(Path(folder) / "a.zarr"), mode="w", zarr_format=2)
        for number, scan in enumerate(scans):
            write_zarr_image(root.create_group(str(number)), scan, "cyx")
        if named:
            names = ["label", "A"] if first else ["A", "label"]
            (Path(folder) / "a.zarr" / "OME").mkdir()
            images = "".join(f'<Image Name="{name}"/>' for name in names)
            (Path(folder) / "a.zarr" / "OME" / "METADATA.ome.xml").write_text(f"<OME>{images}</OME>")
        shown = show(Path(folder) / "a.zarr")
        assert_shows(shown, slide)
        assert_names(shown, [] if named else [section.shape[1::-1]])
        assert_shows(show(Path(folder) / "a.zarr", series=int(not first)), section)


def test_focal_planes_that_are_instances_of_their_own_are_not_called_damage(tmp_path: Path):
    planes = tuple(paint_scan(320, 256, seed) for seed in (1, 2, 3))
    shown = show(write_series(tmp_path / "a", [Pyramid(planes, (0, 0), None, (1,), apart=True)]))
    number = next(number for number in (1, 2, 3) if f"of 3 focal planes number {number} is shown" in shown.notes)
    assert_shows(shown, planes[number - 1])


@given(size=SIZES, same=st.booleans(), uids=st.booleans(), planes=st.sampled_from([1, 3]))
@examples(8)
def test_a_dicom_series_shows_its_largest_pyramid_and_names_the_others(size, same, uids, planes):
    """The second has the proportions of the first, or not; with one focal plane OpenSlide knows the series, too."""
    other = (size[0] - 64, size[1] - 48) if same else (size[0] - 64, size[1] // 2)
    slide, section = paint_scan(*size, 1), paint_scan(*other, 2)
    blurred = [paint_scan(*size, 5), slide, paint_scan(*size, 6)] if planes == 3 else [slide]
    pyramids = [
        Pyramid(tuple(blurred), (20, 20), generate_uid() if uids else None),
        Pyramid((section,), (40, 50), generate_uid() if uids else None),
    ]
    with tempfile.TemporaryDirectory() as folder:
        shown = show(path := write_series(Path(folder) / "a", pyramids))
        assert_shows(shown, slide)
        assert_names(shown, [other])
        assert ("of 3 focal planes number 2 is shown" in shown.notes) == (planes == 3)
        assert_shows(show(path, series=1), section)


@given(
    size=SIZES,
    other=st.tuples(st.integers(96, 240), st.integers(96, 200)),
    is_half=st.booleans(),
    factors=st.sampled_from([(1,), (1, 2)]),
    is_first=st.booleans(),
)
@examples(12)
def test_two_scans_of_one_place_without_uids_are_told_apart(size, other, is_half, factors, is_first):
    """By what they cover: of two levels of one scale the smaller hid the slide, and its levels those of the slide."""
    other = (size[0] // 2, size[1] // 2) if is_half else other
    half = -(-other[0] // 2), -(-other[1] // 2)
    assume(is_half or not is_smaller_copy(*half, *size))  # a level of some 70 px in the slide's proportions may be its
    slide, section = paint_scan(*size, 1), paint_scan(*other, 2)
    pyramids = [Pyramid((slide,), (20, 20), None), Pyramid((section,), (20, 20), None, factors)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_series(Path(folder) / "a", pyramids[:: -1 if is_first else 1])
        assert_shows(shown := show(path), slide)
        assert_names(shown, [other])
        assert_shows(show(path, series=0), slide)
        assert_shows(show(path, series=1), section)


def test_a_grey_level_of_a_coloured_dicom_slide_is_left_out(tmp_path: Path):
    scan = paint_scan(640, 384, 1)
    path = write_series(tmp_path / "a", [Pyramid((scan,), (0, 0), generate_uid())])
    level = dcmread(path / "0-2.dcm")
    grey = np.dstack([shrink(scan, 2).mean(axis=2).round().astype(np.uint8)] * 3)
    how = {"level": 0, "reversible": True, "codecformat": "j2k"}
    tiles = [imagecodecs.jpeg2k_encode(np.ascontiguousarray(tile[..., 0]), **how) for tile in tiles_of(grey)]
    level.SamplesPerPixel, level.PhotometricInterpretation = 1, "MONOCHROME2"
    del level.PlanarConfiguration
    level.PixelData = encapsulate(tiles)
    level["PixelData"].is_undefined_length = True
    level.save_as(path / "0-2.dcm", enforce_file_format=True)
    shown = show(path)
    assert_shows(shown, scan)
    assert "its level of 320 × 192 px shows another picture than the slide and is left out" in shown.notes


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("reduced", [True, False])
def test_a_preview_in_tiles_before_a_scan_in_strips_is_no_slide(tmp_path: Path, tiled: bool, reduced: bool):
    scan = paint_scan(640, 480, 1)
    path = write_pages(tmp_path / "a.tif", [Page(shrink(scan, 4), reduced), Page(scan, tiled=tiled)])
    assert_shows(show(path), scan)
    assert_names(show(path), [])


@given(size=SIZES, grey=st.integers(0, 255), place=st.integers(1, 3), reduced=st.booleans())
@examples(20)
def test_a_page_of_one_colour_is_no_level(size: tuple[int, int], grey: int, place: int, reduced: bool):
    """A label without text has a level's proportions, and no tissue by which it could be told from a level."""
    scan = paint_scan(*size, 1)
    pages = [Page(scan), Page(shrink(scan, 2), reduced=True), Page(shrink(scan, 4), reduced=True)]
    pages.insert(place, Page(np.full_like(shrink(scan, (1, 1.5, 3, 8)[place]), grey), reduced=reduced))
    with tempfile.TemporaryDirectory() as folder:
        shown = show(write_pages(Path(folder) / "a.tif", pages))
    assert_shows(shown, scan)
    assert len(shown.levels) == 3
