"""DICOM: a series of instances is one slide, in a folder of its own or among others."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_series import HEIGHT, TILE, WIDTH, cloudy, write_instance, write_series
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless
from tile_comparison import assert_same_as_reader, grid_of

from atlaspatch_core.errors import MissingExtra, UnreadableSlide
from atlaspatch_core.slides.dicom_files import series_of
from atlaspatch_core.slides.readers import is_slide_folder, open_slide
from atlaspatch_core.slides.slide import Level, Region


def whole(path: Path, level: int = 0, **options: Any) -> np.ndarray:
    with open_slide(path, **options) as slide:
        size = slide.info.levels[level]
        return slide.read_region(Region(0, 0, level, size.width, size.height))


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UnreadableSlide) as caught, open_slide(path, **options) as slide:
        slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))
    return str(caught.value)


def test_folder_of_instances_is_one_slide(tmp_path):
    folder = write_series(tmp_path / "1.2.840.10008")
    assert is_slide_folder(folder)
    with open_slide(folder) as slide:
        info = slide.info
        assert (info.stem, info.reader, info.vendor) == ("1.2.840.10008", "dicom", "Acme")
        assert (info.mpp, info.mpp_source) == (0.25, "dicom.PixelSpacing-x")
        assert (info.magnification, info.magnification_source) == (40, "dicom.ObjectiveLensPower")
        assert info.levels == (Level(301, 203, 1.0), Level(151, 102, (301 / 151 + 203 / 102) / 2))
    assert np.array_equal(whole(folder), cloudy())
    assert np.array_equal(whole(folder, 1), cloudy()[::2, ::2])


@pytest.mark.parametrize("name", ["a1.dcm", "a2.dcm"])
def test_any_instance_opens_its_series_and_no_other(tmp_path, name):
    write_series(tmp_path, "b", seed=6)
    write_series(tmp_path, "a")
    with open_slide(tmp_path / name) as slide:
        assert len(slide.info.levels) == 2
    assert np.array_equal(whole(tmp_path / name), cloudy())


def test_folder_of_two_series_is_not_one_slide(tmp_path):
    write_series(tmp_path, "a")
    write_series(tmp_path, "b", seed=6)
    assert not is_slide_folder(tmp_path)
    assert "is a folder and not one slide" in refused(tmp_path)


def test_folder_with_another_slide_or_a_folder_in_it_is_not_one_slide(tmp_path):
    write_series(tmp_path / "with_slide")
    (tmp_path / "with_slide" / "x.svs").touch()
    write_series(tmp_path / "with_folder")
    (tmp_path / "with_folder" / "more").mkdir()
    write_series(tmp_path / "with_notes")
    (tmp_path / "with_notes" / "notes.txt").touch()
    (tmp_path / "with_notes" / "DICOMDIR").touch()
    names = ("with_slide", "with_folder", "with_notes", "none")
    assert [is_slide_folder(tmp_path / name) for name in names] == [False, False, True, False]


def test_outside_the_series_is_white(tmp_path):
    with open_slide(write_series(tmp_path / "a")) as slide:
        region = slide.read_region(Region(-20, -10, 0, WIDTH + 70, HEIGHT + 40))
    expected = np.full((HEIGHT + 40, WIDTH + 70, 3), 255, np.uint8)
    expected[10 : 10 + HEIGHT, 20 : 20 + WIDTH] = cloudy()
    assert np.array_equal(region, expected)


def test_openslide_is_asked_first_and_given_a_folder(tmp_path):
    folder = write_series(tmp_path / "a", syntax=JPEG2000Lossless)
    with open_slide(folder) as slide, open_slide(folder, reader="dicom") as other:
        assert (slide.info.reader, other.info.reader) == ("openslide", "dicom")
        assert (slide.info.levels, slide.info.mpp) == (other.info.levels, other.info.mpp)
        region = Region(-9, 30, 0, 200, 200)
        assert np.array_equal(slide.read_region(region), other.read_region(region))


def test_patches_and_threads_read_the_same_pixels(tmp_path):
    corners = [(x, y) for y in range(0, HEIGHT - 40, 13) for x in range(0, WIDTH - 40, 17)]
    with open_slide(write_series(tmp_path / "a")) as slide, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(slide.read_region, [Region(x, y, 0, 40, 40) for x, y in corners]))
        assert_same_as_reader(slide, grid_of(slide))
    assert all(np.array_equal(a, cloudy()[y : y + 40, x : x + 40]) for a, (x, y) in zip(found, corners, strict=True))


def test_dicom_that_is_no_whole_slide_is_refused(tmp_path):
    write_series(tmp_path / "a")
    instance = pydicom.dcmread(tmp_path / "a" / "1.dcm")
    instance.SOPClassUID = instance.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    instance.save_as(tmp_path / "ct.dcm")
    assert "no whole-slide image that wsidicom can open" in refused(tmp_path / "ct.dcm")
    (tmp_path / "text.dcm").write_bytes(b"\x89PNG")
    assert "no DICOM" in refused(tmp_path / "text.dcm", reader="dicom")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_series_that_is_cut_short_is_refused(tmp_path, share):
    file = write_series(tmp_path / "a") / "1.dcm"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert "copy it again" in refused(tmp_path / "a")


def test_without_wsidicom_the_line_to_install_it_is_named(tmp_path, monkeypatch):
    folder = write_series(tmp_path / "a")
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with pytest.raises(MissingExtra, match=r"^a: reading it needs wsidicom.*pip install 'atlaspatch\[dicom\]'"):
        open_slide(folder)


@pytest.mark.parametrize("name", ["1.dcm", "2.dcm"])
@pytest.mark.parametrize("damage", ["optical path", "study"])
def test_a_damaged_instance_is_named_and_no_other_level_is_shown_for_it(tmp_path, name, damage):
    """The library would log it and show the levels that are left, a coarser one as the finest."""
    path = write_series(tmp_path / "a")
    content = bytearray((path / name).read_bytes())
    tag = {"optical path": b"\x48\x00\x05\x01", "study": b"\x20\x00\x0d\x00"}[damage]
    at = content.index(tag)
    content[at + (4 if damage == "study" else 0) + 8] ^= 1
    (path / name).write_bytes(content)
    one_of_them = name if damage == "optical path" else "[12].dcm"
    with pytest.raises(UnreadableSlide, match=rf"^a: {one_of_them} of its 2 files is cut short, damaged"):
        open_slide(path)


def test_a_label_whose_frames_call_themselves_a_volume_is_no_lost_level(tmp_path):
    """So do files of wsic."""
    folder = write_series(tmp_path / "a")
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], "ImageComments": "VOLUME"}
    pixels = np.ascontiguousarray(cloudy()[:TILE, :TILE])
    write_instance(folder / "label.dcm", pixels, 0.25, series_of(folder / "1.dcm"), JPEGLSLossless, None, kind)
    with open_slide(folder, reader="dicom") as slide:
        assert (slide.info.width, slide.info.height) == (WIDTH, HEIGHT)
