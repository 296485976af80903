"""Commands that look at slides outlive one that crashes its reader, and name it."""

from pathlib import Path

import pytest
from painting import paint_slide, stain, white
from processes import run_cli

CRASHES = """
import os, time, openslide
opened = openslide.OpenSlide.__init__
def crash(self, path):
    if "bad" in str(path):
        os.abort()
    opened(self, path)
openslide.OpenSlide.__init__ = crash
"""
"""Executed by every interpreter that starts with its folder in PYTHONPATH: by processes that read slides."""
ABORTED = "killed by signal 6, SIGABRT, while "


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(CRASHES)
    (tmp_path / "slides").mkdir()
    for stem in ("bad", "good"):
        paint_slide(tmp_path / "slides" / f"{stem}.svs", stain(white(512, 512), 0, 0, 400, 300))
    return tmp_path / "slides"


def run(slides: Path, *words: object) -> tuple[int, str]:
    path = f"{slides.parent / 'path'}:{Path(__file__).parents[3]}"
    result = run_cli(*words, environment={"PYTHONPATH": path})
    return result.returncode, result.stdout + result.stderr


def test_inspect_and_doctor_name_the_signal(slides):
    code, text = run(slides, "inspect", slides / "bad.svs")
    assert (code, f"bad: {ABORTED}it was looked at" in text) == (1, True), text
    code, text = run(slides, "doctor", "--slides", slides)
    assert (code, ABORTED in text, "good" in text) == (1, True, True), text


def test_convert_converts_the_others(slides, tmp_path):
    pytest.importorskip("pyvips")
    code, text = run(slides, "convert", slides, "--to", tmp_path / "converted")
    assert (code, f"{ABORTED}it was opened" in text) == (1, True), text
    assert [path.name for path in (tmp_path / "converted").glob("*.tiff")] == ["good.tiff"]


def test_segmentation_does_the_other_slides(slides, tmp_path):
    code, text = run(slides, *segmentation(slides, tmp_path / "out"))
    assert code == 1, text
    assert f"bad: slide FAILED: {ABORTED}it was opened" in text
    assert [path.stem for path in (tmp_path / "out" / "contours_geojson").iterdir()] == ["good"]


def test_audit_holds_the_others_against_their_results(slides, tmp_path):
    for task in ("seg", "coords"):
        assert run_cli(*segmentation(slides, tmp_path / "out", task)).returncode == 0
    code, text = run(slides, "audit", tmp_path / "out", "--slides", slides)
    assert (code, f"{ABORTED}it was opened" in text) == (1, True), text


def segmentation(slides: Path, output: Path, task: str = "seg") -> list[object]:
    grid = ["--patch-size", 256, "--mag", 20, "--segmenter", "otsu", "--gpus", -1, "--skip-errors"]
    return ["run", "--task", task, "--wsi-dir", slides, "--job-dir", output, *grid]
