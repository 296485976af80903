"""A width that no pixel has is told in one warning: where it stands, what it is, and what is taken instead."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from claiming import TiffClaim, encode_tile, write_dicom_claim
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.cli.inspect_text import inspection_lines
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError, UnknownScale
from atlaspatch_core.operations import inspect_slide_file
from atlaspatch_core.operations.slide_files.json_values import inspection_values
from atlaspatch_core.slides import open_slide
from atlaspatch_core.slides.mpp import Mpp, StatedMpp, find_scale
from atlaspatch_core.slides.readers.czi import properties_of
from atlaspatch_core.slides.stated_scales import DIRECT_KEYS

pytestmark = pytest.mark.quick
BAD = {
    "0": "0",
    "0.0": "0",
    "-0.5": "-0.5",
    "nan": "nan",
    "inf": "inf",
    "-inf": "-inf",
    "abc": "'abc'",
    "x20": "'x20'",
}
"""What stands in a file, and how it is told."""
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="256" SizeY="256" SizeC="3" SizeZ="1" SizeT="1" '
    'PhysicalSizeX="{0}" PhysicalSizeY="{0}"><Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)
NO_SCALE = (0, 1)


def write_tiff(path: Path, text: str = "", per_cm: tuple[int, int] = NO_SCALE) -> Path:
    tile = encode_tile(256, 7)
    return TiffClaim(256, 256, [(0, len(tile))], tile, text=text, per_cm=per_cm).write(path)


def write_store(path: Path, scale: object) -> Path:
    group = zarr.open_group(str(path), mode="w")
    group.create_array("0", data=np.full((64, 64, 3), 200, np.uint8), chunks=(64, 64, 3))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"] + [{"name": "c"}]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [scale, scale, 1]}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    return path


def write(folder: Path, kind: str, text: str) -> Path:
    """Write a slide of one kind that states a width of pixels by this text."""
    if kind == "aperio":
        return write_tiff(folder / "a.svs", f"Aperio Image Library v12\r\n256x256|MPP = {text}")
    if kind == "ome":
        return write_tiff(folder / "a.ome.tiff", OME.format(text))
    if kind == "description":
        return write_tiff(folder / "a.tiff", f"scanned, MPP: {text}")
    return write_store(folder / "a.zarr", text if BAD[text][0] == "'" else float(text))


@examples(24)
@given(st.sampled_from(["aperio", "ome", "description", "zarr"]), st.sampled_from(sorted(BAD)))
def test_what_a_slide_says_of_its_scale_is_not_passed_over(kind: str, text: str):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), kind, text)
        with pytest.raises(UnknownScale) as refusal:
            open_slide(path)
        with open_slide(path, mpp=0.5) as slide:
            note = slide.info.scale_note
        lines = "\n".join(
            inspection_lines(inspection_values(inspect_slide_file(SlideSource("a", path, mpp=0.5), Slides())))
        )
    value = BAD[text].strip("'")
    assert value in str(refusal.value)
    assert value in note
    assert note.count("0.5 µm/px (stated) is taken instead") == 1
    assert "is taken instead" in " ".join(lines.split())


@pytest.mark.parametrize("suffix", ["svs", "tiff"])
def test_another_statement_is_named_where_it_is_taken(tmp_path: Path, suffix: str):
    text = f"Aperio Image Library v12\r\n256x256|MPP = {'nan' if suffix == 'svs' else '-1'}"
    with open_slide(write_tiff(tmp_path / f"a.{suffix}", text, (20_000, 1))) as slide:
        assert slide.info.mpp == 0.5
        assert "which is no scale: 0.5 µm/px (" in slide.info.scale_note
        assert len(slide.info.warnings()) == 1


@pytest.mark.parametrize(
    ("per_cm", "value", "reader"),
    [((0, 1), "0", "openslide"), ((0, 1), "0", "tiff"), ((1, 0), "inf", "tiff"), ((0, 0), "nan", "tiff")],
)
def test_resolution_tags_that_are_no_scale_are_told(tmp_path: Path, per_cm: tuple[int, int], value: str, reader: str):
    with open_slide(write_tiff(tmp_path / "a.tiff", per_cm=per_cm), mpp=0.5, reader=reader) as slide:
        assert "esolution is " in slide.info.scale_note
        assert value in slide.info.scale_note


@pytest.mark.parametrize("spacing", [0.0, -0.0005])
@pytest.mark.parametrize("reader", ["openslide", "dicom"])
def test_a_dicom_without_a_width_of_pixels_is_told(tmp_path: Path, spacing: float, reader: str):
    path = write_dicom_claim(tmp_path / "a.dcm", 256, 256, spacing_mm=spacing)
    try:
        with open_slide(path, mpp=0.5, reader=reader) as slide:
            said = slide.info.scale_note
    except AtlasPatchError as error:
        said = str(error)
    assert "taken instead" in said or said.startswith("a: ")


@given(st.sampled_from(DIRECT_KEYS), st.sampled_from(sorted(BAD)), st.booleans())
def test_each_readers_property_is_told(key: str, text: str, is_known: bool):
    properties = {key: text} | ({"tiff.XResolution": "20000", "tiff.ResolutionUnit": "centimeter"} if is_known else {})
    if not is_known:
        with pytest.raises(UnknownScale, match="which is no scale"):
            find_scale("a", properties)
        properties |= {"mine": "-3"}
    stated = StatedMpp(None if is_known else Mpp(0.5, "mpp csv"), ("MINE",))
    note = find_scale("a", properties, stated).note
    assert f"{key} is {BAD[text]}" in note
    assert ("mine is -3" in note) is not is_known
    assert f"0.5 µm/px ({'tiff.XResolution' if is_known else 'mpp csv'}) is taken instead" in note


@pytest.mark.parametrize("text", [*BAD])
def test_a_czi_says_what_its_scaling_is(text: str):
    xml = f'<a><Scaling><Items><Distance Id="X"><Value>{text}</Value></Distance></Items></Scaling></a>'
    note = find_scale("a", dict(properties_of(xml)), StatedMpp(Mpp(0.5, "stated"))).note
    assert "czi.Scaling-X is " in note


def test_one_value_under_several_names_is_told_once():
    properties = {"openslide.mpp-x": "0", "openslide.mpp-y": "0.0", "aperio.MPP": "0"}
    note = find_scale("a", properties, StatedMpp(Mpp(0.5, "stated"))).note
    assert note == "openslide.mpp-x is 0, which is no scale: 0.5 µm/px (stated) is taken instead"
