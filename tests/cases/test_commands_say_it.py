"""What the product says of awkward slides reaches whoever runs a command, and ends the slide where it must."""

from pathlib import Path

import numpy as np
from paint import Page, paint_scan, shrink, write_pages
from paths import DATA
from processes import run_cli
from scale_files import ScaleFile, write_scale_file
from sparse_tissue import GLASS, write_sparse


def encode(folder: Path, *more: str):
    """Run encode-slide on a.tif, or on the slide that is named."""
    slide = [] if more[:1] and more[0].startswith("a.") else ["a.tif"]
    words = "-o out --patch-encoders colour --patch-size 64 --target-mpp 0.5 --device cpu"
    plugin = DATA / "written_before" / "colour_encoder.py"
    return run_cli("encode-slide", *slide, *more, *words.split(), "--feature-plugin", plugin, folder=folder)


def said(done) -> str:
    """Return what a command printed, with single spaces."""
    return " ".join(done.stdout.split())


def test_a_scale_that_is_passed_over_is_a_warning(tmp_path: Path):
    write_scale_file(tmp_path, ScaleFile("aperio", (400, 300), 0.5, (800, 600), 0.25, 0.5))
    text = said(encode(tmp_path, "a.svs"))
    assert "a: WARNING: 0.25 µm/px (aperio.MPP) is of 800 × 600 px, and level 0 has 400 × 300 px, 0.5" in text


def test_samples_that_are_no_colours_end_the_slide(tmp_path: Path):
    write_pages(tmp_path / "a.tif", [Page(paint_scan(256, 192, 1).astype(np.uint16) * 16)])
    done = encode(tmp_path)
    assert done.returncode == 1
    assert "a: slide FAILED: a.tif has 3 × 16-bit samples a pixel (RGB)" in said(done)


def test_of_several_images_the_largest_is_taken_and_others_can_be_had(tmp_path: Path):
    """A preview before the scan is told from it."""
    scan, section = paint_scan(704, 512, 1), paint_scan(320, 512, 2)
    write_pages(tmp_path / "a.tif", [Page(shrink(scan, 4), reduced=True), Page(section), Page(scan)])
    done = encode(tmp_path)
    assert (
        "a: WARNING: it holds 2 images: number 2 (704 × 512 px) is taken, number 1 (320 × 512 px) is not; --series "
        "takes another" in said(done)
    ), done
    other = encode(tmp_path, "--series", "1")
    assert "series the largest → 1" in said(other), other
    assert "it holds 2 images" not in other.stdout
    converted = run_cli("convert", "a.tif", "--to", "converted", folder=tmp_path)
    assert "a WARNING: it holds 2 images: number 2 (704 × 512 px) is taken" in said(converted), converted
    assert "0 failed, 1 slide with warnings; files in" in said(converted)


def test_tiles_that_are_missing_are_a_warning_of_number_and_place(tmp_path: Path):
    write_sparse(tmp_path / "a.tif", {(5, 7), (5, 8), *GLASS})
    done = encode(tmp_path)
    assert done.returncode == 0, done
    assert "tiles are missing inside tissue and shown as background (2, the first at (448, 320) of level 0)" in said(
        done
    )
