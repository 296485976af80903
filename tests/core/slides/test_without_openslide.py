"""Tiled TIFFs are read where OpenSlide and Dagster are not installed; what needs OpenSlide is refused with the cure."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from absent_packages import run_without
from paint import Page, aperio_text, paint_scan, shrink, write_pages

from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.readers.tiff import PLAIN
from atlaspatch_core.slides.readers.tiff_vendors import marked_vendor, vendor_of_layout
from atlaspatch_core.slides.slide import Region

ABSENT = ("dagster", "openslide")
WIDTH, HEIGHT = 1024, 768
COMMAND = "from atlaspatch_core.cli.main import cli; cli()"
PIXELS = """
import sys
from pathlib import Path
import numpy as np
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Region
with open_slide(Path(sys.argv[1])) as slide:
    np.save(sys.argv[2], slide.read_region(Region(64, 32, 0, 500, 400)))
    print(slide.info.reader, slide.info.mpp, [(level.width, level.height) for level in slide.info.levels])
"""


def write_aperio(path: Path) -> Path:
    scan = paint_scan(WIDTH, HEIGHT, 3)
    text = [aperio_text(WIDTH // factor, HEIGHT // factor) for factor in (1, 4)]
    pages = [
        Page(shrink(scan, factor), compression="jpeg", text=said) for factor, said in zip((1, 4), text, strict=True)
    ]
    return write_pages(path, pages)


def write_marked(path: Path, **how: object) -> Path:
    tifffile.imwrite(path, paint_scan(256, 256, 3), photometric="rgb", tile=(64, 64), metadata=None, **how)
    return path


@pytest.mark.e2e
def test_encode_slide_runs_without_dagster_and_without_openslide(tmp_path):
    slide, output = write_aperio(tmp_path / "one.svs"), tmp_path / "out"
    options = ("--patch-size", 256, "--target-mag", 20, "--patch-encoders", "efficientnet_lite0", "--device", "cpu")
    words = ("encode-slide", slide, "--output", output, *options)
    finished = run_without(ABSENT, tmp_path, "-c", COMMAND, *words)
    assert finished.returncode == 0, finished.stderr
    with h5py.File(output / "patches" / "one.h5") as file:
        features = np.asarray(file["features/efficientnet_lite0"])
    assert len(features) > 0
    assert features.shape[1] == 1280
    assert run_without(ABSENT, tmp_path, "-c", "import openslide").returncode == 1


@pytest.mark.quick
def test_pixels_without_openslide_are_those_that_openslide_gives(tmp_path):
    slide, kept = write_aperio(tmp_path / "one.svs"), tmp_path / "pixels.npy"
    finished = run_without(ABSENT, tmp_path, "-c", PIXELS, slide, kept)
    assert finished.stdout.strip() == "tiff 0.5 [(1024, 768), (256, 192)]", finished.stderr
    with open_slide(slide) as opened:
        assert opened.info.reader == "openslide"
        assert np.array_equal(np.load(kept), opened.read_region(Region(64, 32, 0, 500, 400)))


@pytest.mark.parametrize(
    ("vendor", "how"),
    [
        ("ventana", {"extratags": [(700, 1, None, b"<Metadata><iScan Mode='RGB'/></Metadata>", True)]}),
        ("leica", {"description": '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"/>'}),
        ("philips", {"software": "Philips DP v1.0"}),
        ("trestle", {"software": "MedScan 1"}),
        ("hamamatsu", {"extratags": [(65420, 4, 1, 1, True)]}),
        ("aperio", {"description": "Aperio Image Library v11.2.1\r\n256x256|AppMag = 20|MPP = 0.5"}),
        ("generic-tiff", {}),
    ],
)
def test_vendors_whose_tiles_may_overlap_are_known_by_their_marks(tmp_path, vendor, how):
    assert marked_vendor(write_marked(tmp_path / "a.tif", **how)) == vendor


def test_the_marks_agree_with_openslide_about_real_slides(shared_slides):
    paths = [path for path in shared_slides.rglob("*") if path.suffix in (".svs", ".tiff", ".tif") and path.is_file()]
    seen = [(path.name, vendor_of_layout(path), marked_vendor(path)) for path in paths]
    plain = [(name, by_library, by_marks) for name, by_library, by_marks in seen if by_library in PLAIN]
    assert plain
    assert [name for name, _, by_marks in plain if by_marks not in PLAIN] == []
    assert [name for name, by_library, by_marks in seen if by_library not in (*PLAIN, by_marks)] == []


def test_a_slide_that_needs_openslide_is_refused_with_the_line_to_run(tmp_path):
    slide = write_marked(tmp_path / "a.tif", software="Philips DP v1.0")
    finished = run_without(ABSENT, tmp_path, "-c", PIXELS, slide, tmp_path / "pixels.npy")
    assert finished.stderr.splitlines()[-1] == (
        "atlaspatch_core.errors.MissingExtra: a: a.tif is read by OpenSlide, which cannot be loaded; "
        "run: pip install openslide-python openslide-bin"
    )
