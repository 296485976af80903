"""Slides that others wrote: copies of one image in many formats, and broken ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Region

ONE_REGION = Region(500, 700, 0, 640, 512)
BFCONVERT = "wsic/bfconvert/XYC_-compression_{}_-tilex_128_-tiley_128_-pyramid-scale_2_-merge.ome.tiff"


def read(path: Path, region: Region) -> np.ndarray:
    with open_slide(path, mpp=0.499) as slide:
        return slide.read_region(region)


@pytest.mark.parametrize(
    ("name", "reader", "mean_difference"),
    [
        ("CMU-1-Small-Region.jp2.tiff", "tiff", 1.0),
        ("CMU-1-Small-Region.webp.tiff", "tiff", 8.0),
        ("CMU-1-Small-Region.jpeg.tiff", "openslide", 5.0),
        ("CMU-1-Small-Region-JPEG.zarr", "omezarr", 0.0),
        ("CMU-1-Small-Region", "dicom", 0.0),
        ("CMU-1-Small-Region-J2K", "dicom", 0.0),
    ],
)
def test_copies_of_one_image_show_the_same_pixels_but_for_compression(shared_slides, name, reader, mean_difference):
    path = shared_slides / "wsic" / name
    expected = read(shared_slides / "CMU-1-Small-Region.svs", ONE_REGION).astype(int)
    with open_slide(path, mpp=0.499) as slide:
        assert (slide.info.reader, slide.info.width, slide.info.height) == (reader, 2220, 2967)
    difference = np.abs(read(path, ONE_REGION) - expected).mean()
    shifted = np.abs(read(path, Region(501, 700, 0, 640, 512)) - expected).mean()
    assert difference <= mean_difference
    assert difference < 0.7 * shifted


@pytest.mark.parametrize(("compression", "tolerance"), [("LZW", 0), ("JPEG", 15)])
def test_ome_tiffs_of_bioformats_show_the_picture_that_they_were_made_of(shared_slides, compression, tolerance):
    picture = np.asarray(Image.open(shared_slides / "wsic" / "XYC.png").convert("RGB"))
    found = read(shared_slides / BFCONVERT.format(compression), Region(0, 0, 0, 512, 512))
    difference = found.astype(int) - picture
    assert np.abs(difference).mean() <= tolerance
    assert np.abs(difference.mean((0, 1))).max() <= tolerance / 15


def test_dicom_tells_its_scale(shared_slides):
    with open_slide(shared_slides / "wsic" / "CMU-1-Small-Region-J2K") as slide:
        assert (slide.info.mpp, slide.info.mpp_source) == (0.499, "dicom.PixelSpacing-x")


def fate(path: Path) -> str:
    """Return why a slide is refused, or nothing."""
    try:
        with open_slide(path, mpp=0.499) as slide:
            slide.read_region(Region(0, 0, 0, 64, 64))
    except AtlasPatchError as refusal:
        return str(refusal)
    return ""


def test_every_shared_slide_opens_or_is_refused_in_one_line(shared_slides):
    fates = {path.name: fate(path) for path in sorted(shared_slides.rglob("*")) if ".zarr/" not in str(path)}
    folders = ["bfconvert", "openslide_python_fixtures", "pen", "wsic"]
    refused = {name: why for name, why in fates.items() if why}
    assert sorted(refused) == sorted(["SOURCES.md", "unopenable.tiff", "unreadable.svs", *folders])
    assert not any("\n" in why for why in refused.values())
    assert len(fates) > 20
