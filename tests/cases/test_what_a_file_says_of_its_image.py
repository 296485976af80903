"""Of several images of one size each has its own scale; what is not heeded is told; reasons name the cause."""

import struct
import tempfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from paint import TILE, Page, Pyramid, difference, paint_scan, write_pages, write_series
from PIL import Image

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides import Region, SlideInfo, open_slide

pytestmark = pytest.mark.quick
WIDTH, HEIGHT = 128, 96
OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def seen(path: Path, **how: Any) -> tuple[SlideInfo, np.ndarray]:
    with open_slide(path, **how) as slide:
        return slide.info, slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))


@given(
    mpps=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=2, max_size=4),
    names=st.permutations(["label", "section", "macro", "scan"]),
    data=st.data(),
)
@settings(max_examples=20, deadline=None)
def test_of_images_of_one_size_each_has_its_own_scale(mpps: list[float], names: list[str], data):
    """Where none is asked for, the first that is no picture of the glass is taken."""
    scans = [paint_scan(WIDTH, HEIGHT, number) for number in range(len(mpps))]
    asked = data.draw(st.sampled_from([None, *range(len(mpps))]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as writer:
            for scan, mpp, name in zip(scans, mpps, names, strict=False):
                about = {"axes": "YXS", "Name": name, "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
                writer.write(scan, photometric="rgb", tile=(TILE, TILE), metadata=about)
        info, pixels = seen(path, series=asked)
    sections = [number for number in range(len(mpps)) if names[number] in ("section", "scan")]
    expected = asked if asked is not None else min(sections, default=0)
    assert np.array_equal(pixels, scans[expected])
    assert info.mpp == mpps[expected]


def test_of_files_that_describe_each_other_each_is_its_own_slide(tmp_path: Path):
    """OME-XML of a set of files stands in all of them, and lists the images of all."""
    scans, mpps = [paint_scan(WIDTH, HEIGHT, number) for number in (1, 2)], (0.5, 0.25)
    uuids = [f"urn:uuid:0000000{number}-0000-0000-0000-000000000000" for number in (1, 2)]
    images = "".join(
        f'<Image ID="Image:{number}" Name="{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="{mpp}" PhysicalSizeY="{mpp}">'
        f'<Channel ID="Channel:{number}:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"><UUID '
        f'FileName="{number}.ome.tif">{uuid}</UUID></TiffData></Pixels></Image>'
        for number, (mpp, uuid) in enumerate(zip(mpps, uuids, strict=True))
    )
    for number, (scan, uuid) in enumerate(zip(scans, uuids, strict=True)):
        text = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{OME}" UUID="{uuid}">{images}</OME>'
        how: dict[str, Any] = {"photometric": "rgb", "tile": (TILE, TILE), "metadata": None, "description": text}
        tifffile.imwrite(tmp_path / f"{number}.ome.tif", scan, **how)
    for number, (scan, mpp) in enumerate(zip(scans, mpps, strict=True)):
        info, pixels = seen(tmp_path / f"{number}.ome.tif")
        assert np.array_equal(pixels, scan)
        assert info.mpp == mpp


@pytest.mark.parametrize("orientation", [1, 2, 3, 6])
@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_an_orientation_that_is_not_heeded_is_told(tmp_path: Path, suffix: str, orientation: int):
    """libtiff heeds it within each tile, so that OpenSlide shows a mosaic of turned tiles."""
    path, scan = tmp_path / f"a{suffix}", paint_scan(WIDTH, HEIGHT, 1)
    if suffix == ".tif":
        write_pages(path, [Page(scan, more={"extratags": [(274, "H", 1, orientation, True)]})])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(scan).save(path, exif=exif, quality=95)
    info, pixels = seen(path, mpp=0.5)
    assert difference(pixels, scan) < 5
    assert any(f"Orientation {orientation}" in note for note in info.notes) == (orientation != 1)


def test_samples_that_are_signed_are_called_so(tmp_path: Path):
    write_pages(tmp_path / "a.tif", [Page((paint_scan(WIDTH, HEIGHT, 1).astype(int) - 128).astype(np.int8))])
    with pytest.raises(UnreadableSlide, match="3 × 8-bit signed samples a pixel"):
        open_slide(tmp_path / "a.tif")


def test_colours_that_no_reader_of_dicom_knows_are_named(tmp_path: Path):
    folder = write_series(tmp_path / "a", [Pyramid((paint_scan(WIDTH, HEIGHT, 1),), (0, 0), None)])
    for file in folder.iterdir():
        instance = pydicom.dcmread(file)
        instance.PhotometricInterpretation = "MONOCHROME1"
        instance.save_as(file, enforce_file_format=True)
    with pytest.raises(UnreadableSlide, match="a has samples that are MONOCHROME1, and only RGB and grey") as caught:
        open_slide(folder)
    assert "copy it again" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_fourth_sample_of_jpeg_2000_is_alpha_where_it_is_declared(tmp_path: Path, kind: str, declared: bool):
    scan, other = paint_scan(WIDTH, HEIGHT, 1), paint_scan(WIDTH, HEIGHT, 2)[..., :1]
    content = imagecodecs.jpeg2k_encode(np.dstack([scan, other]), level=0, reversible=True, mct=False, codecformat=kind)
    if declared and kind == "jp2":
        content = with_alpha_declared(content)
    (tmp_path / f"a.{kind}").write_bytes(content)
    info, pixels = seen(tmp_path / f"a.{kind}", mpp=0.5)
    is_alpha = declared and kind == "jp2"
    cover = other / 255
    assert difference(pixels, np.rint(scan * cover + 255 * (1 - cover)) if is_alpha else scan) < 1
    assert any("fourth sample" in note for note in info.notes) != is_alpha


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.png", imagecodecs.png_encode(np.full((64, 64, 2), 40_000, np.uint16)), "grey of more than 8 bits"),
        ("a.jp2", imagecodecs.jpeg2k_encode(np.full((64, 64, 2), 90, np.uint8), level=0), "has 2 samples a pixel"),
    ],
)
def test_grey_pictures_that_are_no_brightfield_are_refused(tmp_path: Path, name: str, content: bytes, cause: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableSlide, match=cause):
        open_slide(tmp_path / name, mpp=0.5)


def with_alpha_declared(content: bytes) -> bytes:
    """Add the box that says which samples are red, green, blue and opacity to the header of a JP2 file."""
    entries = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0)]
    box = struct.pack(">I4sH12H", 8 + 2 + 24, b"cdef", 4, *(value for entry in entries for value in entry))
    at = content.index(b"jp2h") - 4
    (size,) = struct.unpack(">I", content[at : at + 4])
    return content[:at] + struct.pack(">I", size + len(box)) + content[at + 4 : at + size] + box + content[at + size :]
