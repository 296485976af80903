"""A warning is told by the run, its summary, status and its page; with --strict it is a failure."""

import json
from pathlib import Path

import pytest
from painting import paint_slide, stain, white
from processes import run_cli

ODD = "pieces of up to"


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """One slide with tissue, one with a speck that is too small to count."""
    folder = tmp_path / "slides"
    folder.mkdir()
    paint_slide(folder / "good.svs", stain(white(2048, 2048), 512, 512, 1024, 1024))
    paint_slide(folder / "speck.svs", stain(white(4096, 4096), 512, 512, 240, 240))
    return folder


def encode(slides: Path, *words: str):
    asked = [
        "--task",
        "coords",
        "--wsi_dir",
        str(slides),
        "--job_dir",
        "out",
        "--segmenter",
        "otsu",
        "--mag",
        "20",
        "--patch_size",
        "256",
    ]
    return run_cli("run", *asked, "--skip-errors", *words, folder=slides.parent)


def test_warnings_are_told_everywhere_and_fail_only_where_strict(slides: Path):
    done = encode(slides)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 slide with warnings" in done.stdout
    assert f"speck: WARNING: no tissue was found; {ODD}" in done.stdout
    text = (slides.parent / "out" / "summary.md").read_text()
    assert "1 with warnings" in text
    assert "- slides with warnings (1):\n  - speck: no tissue was found" in text
    assert encode(slides, "--strict").returncode == 1
    assert encode(slides).returncode == 0


def test_status_tells_the_warnings_of_the_last_run_without_opening_a_slide(slides: Path):
    encode(slides)
    for slide in slides.iterdir():
        slide.rename(slide.with_suffix(".gone"))
    text = run_cli("status", "out", folder=slides.parent).stdout
    assert "1 slide with warnings:\n    speck: no tissue was found" in text
    rows = json.loads(run_cli("status", "out", "--json", folder=slides.parent).stdout)
    odd = {row["slide"]: row["warnings"] for row in rows if row["warnings"]}
    assert list(odd) == ["speck"]
    assert ODD in odd["speck"]
    run_cli("status", "out", "--html", "page.html", folder=slides.parent)
    assert "⚠ warning" in (slides.parent / "page.html").read_text()


def test_outlines_that_a_person_drew_have_no_warning_of_the_mask_before(slides: Path):
    encode(slides)
    outlines = {name: next((slides.parent / "out").rglob(f"{name}.geojson")) for name in ("good", "speck")}
    outlines["speck"].write_text(outlines["good"].read_text())
    done = encode(slides)
    assert "with warnings" not in done.stdout
    assert "with warnings" not in run_cli("status", "out", folder=slides.parent).stdout
    outlines["speck"].write_text('{"type": "FeatureCollection", "features": []}')
    assert "no tissue was found" in encode(slides).stdout


def test_a_row_that_serves_no_slide_fails_where_strict(slides: Path):
    (slides.parent / "mpp.csv").write_text("wsi,mpp\ngood.svs,0.5\ntypo.svs,0.5\n")
    asked = ["encode-slide", str(slides), "-o", "out", "--patch-size", "256", "--target-mag", "20"]
    asked += ["--patch-encoders", "resnet50", "--mpp-csv", "mpp.csv", "--strict"]
    done = run_cli(*asked, folder=slides.parent)
    assert done.returncode == 2
    assert "typo.svs" in done.stderr
    assert "resnet50 is AtlasPatch's here (2048 numbers a patch); TRIDENT's is trident-resnet50." in done.stderr
    assert not (slides.parent / "out").exists()
