"""``atlaspatch run`` in a folder that TRIDENT filled: its coords and outlines are taken, and its files stay."""

from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result
from foreign_folders import GEOMETRY, lattice, trident_coords, trident_outlines
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER

from atlaspatch_core.cli.main import cli

LITE = "efficientnet_lite0"
CORNERS = lattice()[[0, 2, 1, 3]]
"""In another order than our grid."""
PICTURES = (
    "thumbnails/a.jpg",
    "contours/a.jpg",
    f"{GEOMETRY}/visualization/a.jpg",
    f"{GEOMETRY}/visualization/a.png",
    f"{GEOMETRY}/patch_images/a/000000_x256_y256.png",
    f"{GEOMETRY}/patch_images/a/000009_x0_y0.png",
)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job of TRIDENT with outlines, coords and pictures of one slide; which picture shows what is nobody's care."""
    slides = tmp_path / "wsis"
    slides.mkdir()
    paint_slide(slides / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512), objective_power=20)
    folder = tmp_path / "job"
    trident_outlines(folder, "a")
    trident_coords(folder, "a", CORNERS)
    for name in (*PICTURES, "_config_segmentation.json", "_logs_segmentation.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"theirs: {name}".encode())
    return folder


def run(job: Path, *more: str) -> Result:
    words = ["run", "--wsi_dir", str(job.parent / "wsis"), "--job_dir", str(job), "--segmenter", "otsu"]
    return CliRunner().invoke(cli, [*words, "--patch_encoder", LITE, "--mag", "20", "--patch_size", "256", *more])


def contents(job: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in job.rglob("*") if path.is_file()}


def test_coords_and_outlines_are_taken_and_no_file_of_theirs_is_replaced(job: Path):
    theirs = contents(job)
    result = run(job, "--task", "all", "--dump_patches", "--layout", "trident")
    assert result.exit_code == 0, result.output
    assert "TRIDENT's" in result.output
    assert "edited" not in result.output
    assert {path: path.read_bytes() for path in theirs} == theirs
    with h5py.File(job / GEOMETRY / "patches" / "a.h5") as file:
        assert file["coords"][:, :2].tolist() == CORNERS.tolist()
        assert file.attrs["rule"] == "supplied"
    with h5py.File(job / GEOMETRY / f"features_{LITE}" / "a.h5") as file:
        assert file["coords"][()].tolist() == CORNERS.tolist()
        assert file["features"].shape == (4, 1280)
    assert len(list((job / GEOMETRY / "patch_images" / "a").glob("*.png"))) == 5


def test_a_second_run_goes_on_from_what_it_took_and_follows_their_changes(job: Path):
    assert run(job, "--task", "feat").exit_code == 0
    again = run(job, "--task", "feat")
    assert (again.exit_code, "1 reused" in again.output) == (0, True), again.output
    trident_coords(job, "a", CORNERS[:3])
    assert run(job, "--task", "feat", "--coords_dir", GEOMETRY).exit_code == 0
    with h5py.File(job / GEOMETRY / "patches" / "a.h5") as file:
        assert file[f"features/{LITE}"].shape == (3, 1280)


def test_outlines_that_somebody_saved_after_trident_are_edited(job: Path):
    path = job / "contours_geojson" / "a.geojson"
    path.write_text(path.read_text().replace("urn:ogc:def:crs:EPSG::3857", "urn:ogc:def:crs:OGC:1.3:CRS84"))
    assert "edited by a person" in run(job, "--task", "seg").output


def test_a_job_of_ours_keeps_its_coords_beside_those_it_wrote_for_trident(job: Path):
    for path in (job / GEOMETRY / "patches").iterdir():
        path.unlink()
    assert run(job, "--task", "coords", "--layout", "trident").exit_code == 0
    before = (job / GEOMETRY / "patches" / "a.h5").read_bytes()
    result = run(job, "--task", "coords", "--layout", "trident")
    assert (result.exit_code, "1 reused" in result.output) == (0, True), result.output
    assert (job / GEOMETRY / "patches" / "a.h5").read_bytes() == before


def test_coords_of_a_slide_that_trident_did_not_see_are_laid_and_the_others_stay(job):
    (job / "tiny.py").write_text(TINY_ENCODER)
    paint_slide(job.parent / "wsis" / "0.svs", stain(white(1024, 1024), 0, 0, 600, 600), objective_power=20)
    tiny = ("--patch_encoder", "tiny", "--feature-plugin", str(job / "tiny.py"))
    result = run(job, "--task", "feat", *tiny)
    assert "0: patches FAILED: there are no coords in " in result.output
    assert "take the task coords or all" in result.output
    assert "a: 4 patches, tiny features computed" in result.output, "no reason to stop before the others"
    assert result.exit_code == 1
    results = job / GEOMETRY / "patches", job / "contours_geojson"
    theirs = {path: path.read_bytes() for folder in results for path in folder.iterdir()}

    result = run(job, "--task", "all", "--min_tissue_proportion", "0.2", *tiny)
    assert (result.exit_code, "1 computed, 1 reused" in result.output) == (0, True), result.output
    assert {path: path.read_bytes() for path in theirs} == theirs
    with h5py.File(job / GEOMETRY / "patches" / "0.h5") as file:
        assert file["coords"][:, :2].tolist() == [[x, y] for y in (0, 256, 512) for x in (0, 256, 512)][:-1]
        assert file.attrs["supplied_from"] == "laid here by the rule trident, for lack of others"
    for task in ("coords", "feat", "all"):
        again = run(job, "--task", task, *tiny)
        assert (again.exit_code, "0 computed, 2 reused" in again.output) == (0, True), again.output
    shown = CliRunner().invoke(cli, ["status", str(job)]).output
    assert "2 slides, all fresh" in shown
