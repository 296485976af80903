"""``atlaspatch run`` stage by stage: one takes what lies there as it was made, and says which options are unheard."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from painting import paint_slide, stain, white

from atlaspatch_core.cli.main import cli

SIDE = 900
"""px of the slide: the last patches hang over its edge."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slide, and two folders of masks that show other parts of its tissue."""
    paint_slide(tmp_path / "a.svs", stain(white(SIDE, SIDE), 100, 100, 700, 700), objective_power=20)
    for name, first in (("masks", 40), ("others", 10)):
        mask = np.zeros((SIDE // 10, SIDE // 10), np.uint8)
        mask[first : first + 35, 20:80] = 255
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), mask)
    return tmp_path


def run(folder: Path, job: str, task: str, *more: str, exit_code: int = 0) -> str:
    """Return what a stage prints."""
    words = ["--wsi-dir", str(folder / "a.svs"), "--job-dir", str(folder / job), "--segmenter", "otsu"]
    words += ["--patch-size", "256", "--patch-encoder", "efficientnet_lite0", "--gpu", "-1"]
    result = CliRunner().invoke(cli, ["run", *words, "--task", task, *more])
    assert result.exit_code == exit_code, result.output
    return result.output


def coords(folder: Path, job: str) -> list[list[int]]:
    with h5py.File(folder / job / "20x_256px_0px_overlap" / "patches" / "a.h5") as file:
        return np.asarray(file["coords"])[:, :2].tolist()


def fingerprint(folder: Path, job: str) -> str:
    with h5py.File(folder / job / "20x_256px_0px_overlap" / "patches" / "a.h5") as file:
        return str(file["coords"].attrs["fingerprint"])


@pytest.mark.parametrize("rule", ["trident", "atlaspatch", "lattice"])
def test_a_supplied_mask_need_not_be_named_at_every_stage(folder: Path, rule: str):
    """By the rules of others patches follow the drawing in the file, not the outlines in the job alone."""
    masks = ("--masks", str(folder / "masks"))
    run(folder, "at_once", "coords", "--rule", rule, *masks)
    run(folder, "by_stages", "seg", *masks)
    run(folder, "by_stages", "coords", "--rule", rule)
    assert coords(folder, "by_stages") == coords(folder, "at_once")
    assert fingerprint(folder, "by_stages") == fingerprint(folder, "at_once")
    assert "1 slide, all fresh" in CliRunner().invoke(cli, ["status", str(folder / "by_stages")]).output


def test_a_mask_that_changed_since_its_stage_is_refused_until_that_is_taken_again(folder: Path):
    """The outlines in the job are of the former mask, and patches of the changed one would pass for its own."""
    masks = ("--masks", str(folder / "masks"))
    run(folder, "job", "seg", *masks)
    (folder / "others" / "a.png").replace(folder / "masks" / "a.png")
    said = run(folder, "job", "coords", "--rule", "atlaspatch", exit_code=1)
    assert f"its mask {folder / 'masks' / 'a.png'} is not the one that was taken over" in said
    run(folder, "job", "seg", *masks)
    run(folder, "job", "coords", "--rule", "atlaspatch")
    run(folder, "at_once", "coords", "--rule", "atlaspatch", *masks)
    assert coords(folder, "job") == coords(folder, "at_once")


def test_a_mask_without_its_drawing_lays_no_patches_under_an_identity_without_it(folder: Path):
    """Equal identities would stand for patches of the drawing, and of the simplified outlines."""
    masks = ("--masks", str(folder / "masks"))
    run(folder, "job", "seg", "--rule", "lattice", *masks)
    said = run(folder, "job", "coords", "--rule", "trident", exit_code=1)
    assert "taken over by the rule lattice, which does not keep how it was drawn" in said
    run(folder, "job", "coords", "--rule", "lattice")
    run(folder, "job", "seg", *masks)
    run(folder, "job", "coords", "--rule", "trident", "--force")
    run(folder, "at_once", "coords", *masks)
    assert fingerprint(folder, "job") == fingerprint(folder, "at_once")


def test_options_of_an_earlier_stage_are_said_not_to_be_heard(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    run(folder, "job", "seg", "--masks", "masks")
    said = run(folder, "job", "coords", "--masks", "masks", "--edge", "drop")
    assert "as they lie" not in said
    before = coords(folder, "job")
    said = run(folder, "job", "coords", "--masks", "others", "--edge", "drop")
    assert f"--masks {folder / 'others'}: tissue masks are taken as they lie in {folder / 'job'}, made with" in said
    assert f"made with --masks {folder / 'masks'}; --task seg makes them anew." in said
    assert coords(folder, "job") == before
    said = run(folder, "job", "feat", "--rule", "trident", "--edge", "pad-black")
    assert "--edge pad-black: patches are taken as they lie in" in said
    assert "made with --edge drop; --task coords makes them anew." in said
    assert coords(folder, "job") == before
    assert "1 slide, all fresh" in CliRunner().invoke(cli, ["status", str(folder / "job")]).output


@pytest.mark.parametrize("task", ["seg", "coords", "feat", "all"])
def test_masks_rule_and_edge_are_heard_by_every_task_in_a_new_job(folder: Path, task: str):
    """What a task needs of earlier stages is made by the same options; 768 + 256 px reach beyond the slide."""
    said = run(folder, "job", task, "--masks", str(folder / "masks"), "--rule", "atlaspatch", "--edge", "drop")
    assert "mask with 25.9 % tissue" in said
    if task != "seg":
        assert coords(folder, "job") == [[256, 256], [512, 256], [256, 512], [512, 512]]
