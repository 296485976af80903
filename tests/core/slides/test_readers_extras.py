"""Readers whose libraries are too large to test with: what they say without, and what they read where they are."""

import importlib.util
import math
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tifffile
from painting import paint_slide
from paths import ROOT

from atlaspatch_core.config.input_fields import SlidesFields
from atlaspatch_core.errors import MissingExtra, UnreadableSlide
from atlaspatch_core.option import field_of
from atlaspatch_core.slides.readers import READERS, SUFFIXES, open_slide, readers_of
from atlaspatch_core.slides.readers.cucim import properties_of
from atlaspatch_core.slides.readers.sdpc import first_px_level0
from atlaspatch_core.slides.slide import Region

needs_cucim = pytest.mark.skipif(importlib.util.find_spec("cucim") is None, reason="cuCIM is not installed")


def noise(width: int = 700, height: int = 500) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_readers_are_named_as_the_option_names_them():
    assert [reader.name for reader in READERS.values()] == list(READERS)
    assert field_of(SlidesFields, "reader").option.help.endswith(f": {', '.join(READERS)}. Plugins may bring others.")


@pytest.mark.parametrize(("reader", "module"), [("cucim", "cucim"), ("sdpc", "opensdpc")])
def test_without_its_library_a_reader_names_the_line_to_install_it(tmp_path, monkeypatch, reader, module):
    path = paint_slide(tmp_path / "a.svs", noise())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"^a: reading it needs {module}.*pip install 'atlaspatch\[{reader}\]'"):
        open_slide(path, reader=reader)


def test_sdpc_is_known_by_its_first_letters_and_its_suffix(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opensdpc", None)
    (tmp_path / "a.sdpc").write_bytes(b"SQ" + bytes(100))
    (tmp_path / "a.bin").write_bytes(b"SQ" + bytes(100))
    assert [reader.name for reader in readers_of(tmp_path / "a.sdpc")] == ["sdpc"]
    with pytest.raises(MissingExtra, match=r"atlaspatch\[sdpc\]"):
        open_slide(tmp_path / "a.sdpc")
    with pytest.raises(UnreadableSlide, match=r"a\.bin is no slide"):
        open_slide(tmp_path / "a.bin")


@pytest.mark.parametrize("downsample", [1.0, 2.0, 3.0000001, 4.016129032258064, 1 / np.float32(0.3)])
def test_level_0_position_is_the_first_that_is_rounded_down_to_a_px(downsample):
    for position in (0, 1, 2, 7, 99, 12_345):
        first = first_px_level0(position, downsample)
        assert int(first / downsample) == position
        assert first == 0 or int((first - 1) / downsample) == position - 1 or math.isclose(downsample, 1.0)


def test_cucim_is_never_chosen_by_content(tmp_path):
    path = paint_slide(tmp_path / "a.svs", noise())
    assert [reader.name for reader in readers_of(path)] == ["openslide", "tiff"]
    assert not READERS["cucim"].recognises(path)


def test_what_cucim_says_of_a_slide_becomes_its_properties():
    found = properties_of(
        {
            "aperio": {"MPP": "0.4990", "AppMag": "20"},
            "tiff": {"x_resolution": 20000.0, "resolution_unit": "centimeter"},
        }
    )
    assert (found["aperio.MPP"], found["aperio.AppMag"], found["aperio.vendor"]) == ("0.4990", "20", "aperio")
    assert (found["tiff.XResolution"], found["tiff.ResolutionUnit"]) == ("20000.0", "centimeter")


@needs_cucim
@pytest.mark.parametrize("name", ["a.svs", "a.tiff"])
def test_cucim_reads_what_openslide_reads(tmp_path, name):
    path = paint_slide(tmp_path / name, noise(), compression="jpeg", levels=(1, 2, 4), objective_power=20)
    with open_slide(path, reader="cucim") as slide, open_slide(path) as usual:
        assert (slide.info.levels, slide.info.magnification) == (usual.info.levels, usual.info.magnification)
        assert slide.info.mpp == pytest.approx(usual.info.mpp, rel=1e-6)
        for region in (Region(-9, -9, 0, 300, 300), Region(400, 300, 1, 200, 200), Region(64, 128, 2, 99, 77)):
            assert np.array_equal(slide.read_region(region), usual.read_region(region))


@needs_cucim
def test_cucim_refuses_what_it_cannot_decode_and_what_it_crashes_on(tmp_path):
    how = {"photometric": "rgb", "tile": (64, 64)}
    tifffile.imwrite(tmp_path / "web.tiff", noise(), compression="webp", **how)
    tifffile.imwrite(tmp_path / "deflate.tiff", noise(), compression="zlib", predictor=True, **how)
    for path, cause in ((tmp_path / "web.tiff", "cuCIM cannot open"), (tmp_path / "deflate.tiff", "cuCIM crashes")):
        with pytest.raises(UnreadableSlide, match=cause):
            open_slide(path, reader="cucim", mpp=0.5)


def test_formats_that_nobody_opens_are_refused_with_the_way_out(tmp_path):
    for name in ("a.vsi", "a.isyntax", "a.kfb", "a.lif"):
        (tmp_path / name).write_bytes(b"II*\0" + bytes(100))
        with pytest.raises(UnreadableSlide, match=r"which no reader opens; convert it to OME-TIFF with .*bfconvert"):
            open_slide(tmp_path / name)


def test_listing_the_readers_imports_none_of_their_libraries():

    heavy = "{'zarr', 'pylibCZIrw', 'wsidicom', 'pydicom', 'cucim', 'opensdpc', 'tifffile', 'imagecodecs'}"
    code = f"import sys, atlaspatch_core.slides.readers; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_page_of_formats_names_every_reader_suffix_and_extra():
    page = (ROOT / "docs" / "formats.md").read_text()
    listed = page.split("searched for: `")[1].split("`")[0].split()
    assert listed == list(SUFFIXES)
    assert all(f"| `{name}` |" in page for name in READERS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"atlaspatch\[(\w+)\]", page))
    assert named == {"dicom", "omezarr", "czi", "sdpc", "cucim"}
    assert named <= set(extras)
