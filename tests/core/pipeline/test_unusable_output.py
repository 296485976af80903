"""An output folder that cannot be written, or slides that went away, stop the work; no slide has failed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import fill, remount, small_disk
from painting import paint_slide, stain, white
from processes import run_cli

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import LostSlides, UnusableOutput
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.writable import write_fault
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe


def project_of(folder: Path, output: Path, *stems: str) -> Project:
    (folder / "slides").mkdir()
    for stem in stems:
        paint_slide(folder / "slides" / f"{stem}.svs", stain(white(1024, 1024), 256, 256, 512, 512))
    geometry = {"patch_size": 256, "target_mag": 20}
    slides = {"folders": [folder / "slides"]}
    values = {"output": output, "slides": slides, "geometry": [geometry], "runtime": {"device": "cpu"}}
    return make_project(values, origin="test")


def run(project: Project, outcomes: list[Outcome]) -> None:
    outcomes.extend(process(find_slides(project).sources, make_recipe(project)))  # those before an error stay


def test_a_disk_that_becomes_read_only_stops_the_work_and_fails_no_slide(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        project = project_of(tmp_path, disk / "output", "a", "b", "c")
        outcomes: list[Outcome] = []
        run(project, outcomes)
        remount(disk, "ro")

        reused: list[Outcome] = []
        with pytest.raises(
            UnusableOutput, match=r"output.* cannot be written \(Read-only file system\); mount it writable"
        ):
            run(
                project.model_copy(update={"geometry": (project.geometry[0].model_copy(update={"step_size": 128}),)}),
                reused,
            )
        assert Status.FAILED not in {outcome.status for outcome in reused}

        remount(disk, "rw")
        again: list[Outcome] = []
        run(project, again)
        assert {outcome.status for outcome in again} == {Status.REUSED}


@pytest.mark.parametrize("left", [0, 64 * 2**10])
def test_a_full_disk_stops_the_work_and_fails_no_slide(tmp_path, left):
    with small_disk(tmp_path / "disk") as disk:
        project = project_of(tmp_path, disk / "output", "a", "b")
        ballast = fill(disk, left)
        outcomes: list[Outcome] = []
        with pytest.raises(UnusableOutput, match="free space"):
            run(project, outcomes)
        assert Status.FAILED not in {outcome.status for outcome in outcomes}
        assert re.search(r"disk is full|No space left", str(write_fault(disk / "output")))

        ballast.unlink()
        run(project, outcomes)
        assert outcomes[-1].status is Status.COMPUTED
        assert write_fault(disk / "output") is None


def test_a_file_in_place_of_a_folder_of_results_is_named_once(tmp_path):
    project_of(tmp_path, tmp_path / "output", "a", "b", "c")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "contours_geojson").write_text("")
    command = [
        "encode-slide",
        "slides",
        "--slide-encoders",
        "mean-efficientnet_lite0",
        "--output",
        "output",
        "--patch-size",
        "256",
        "--target-mag",
        "20",
        "--device",
        "cpu",
    ]

    done = run_cli(*command, folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.count("contours_geojson") == 1
    assert "FAILED" not in done.stdout


def test_one_file_that_cannot_be_written_fails_its_slide_alone(tmp_path):
    project = project_of(tmp_path, tmp_path / "output", "a", "b", "c")
    (tmp_path / "output" / "contours_geojson" / "b.geojson").mkdir(parents=True)
    outcomes: list[Outcome] = []

    run(project, outcomes)

    assert {outcome.stem for outcome in outcomes if outcome.status is Status.FAILED} == {"b"}
    assert {outcome.stem for outcome in outcomes if str(outcome.step) == "patch_coords"} == {"a", "b", "c"}


def test_a_folder_that_can_be_made_has_no_fault_and_is_not_made(tmp_path):
    assert write_fault(tmp_path / "new" / "output") is None
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    assert "cannot be made in" in str(write_fault(tmp_path / "file" / "output"))


@pytest.mark.parametrize("mount_point", ["left empty", "gone"])
def test_slides_that_go_away_in_the_middle_stop_the_work_and_fail_no_slide(tmp_path, mount_point):
    project = project_of(tmp_path, tmp_path / "output", "a", "b", "c")
    folder = tmp_path / "slides"
    sources, outcomes = find_slides(project).sources, []

    def until_the_disk_goes() -> Iterator[SlideSource]:
        yield sources[0]
        folder.rename(tmp_path / "mounted elsewhere")
        if mount_point == "left empty":
            folder.mkdir()
        yield from sources[1:]

    with pytest.raises(LostSlides, match=rf"^{folder}.*; mount its disk, and run again"):
        outcomes.extend(process(until_the_disk_goes(), make_recipe(project)))
    assert Status.FAILED not in {outcome.status for outcome in outcomes}

    if mount_point == "left empty":
        folder.rmdir()
    (tmp_path / "mounted elsewhere").rename(folder)
    again: list[Outcome] = []
    run(project, again)
    assert {outcome.status for outcome in again} <= {Status.REUSED, Status.COMPUTED}


def test_a_slide_that_goes_by_itself_fails_by_itself(tmp_path):
    """A folder that waits for slides is empty, too."""
    (tmp_path / "waiting").mkdir()
    project = project_of(tmp_path, tmp_path / "output", "a", "b")
    slides = project.slides.model_copy(update={"folders": (tmp_path / "slides", tmp_path / "waiting")})
    project = project.model_copy(update={"slides": slides})
    sources = find_slides(project).sources
    sources[0].path.unlink()

    outcomes = list(process(sources, make_recipe(project)))

    assert {outcome.stem for outcome in outcomes if outcome.status is Status.FAILED} == {"a"}
