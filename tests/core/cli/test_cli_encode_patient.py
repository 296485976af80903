"""``atlaspatch encode-patient``, run for real on painted slides."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER, plugin_file
from processes import run_cli

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.validity.outcome import Outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides at 20x, a broken one, and a table with two cases that share a slide."""
    for stem, width in (("a", 512), ("b", 256)):
        paint_slide(tmp_path / f"{stem}.svs", stain(white(1024, 1024), 256, 256, width, 512), objective_power=20)
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    table(tmp_path, "p1,a.svs", "p1,b.svs", "p2,b.svs")
    return tmp_path


def table(folder: Path, *rows: str) -> Path:
    path = folder / "cases.csv"
    path.write_text("\n".join(["case_id,slide_path", *rows]) + "\n")
    return path


def arguments(folder: Path, *more: str) -> list[str]:
    words = ["encode-patient", str(folder / "cases.csv"), "-o", str(folder / "out"), "--device", "cpu", *more]
    words += [] if "--patch-size" in more else ["--patch-size", "256"]
    words += [] if {"--target-mag", "--target-mpp"} & set(more) else ["--target-mag", "20"]
    words += [] if "--patient-encoders" in more else ["--patient-encoders", "mean-tiny"]
    return [*words, "--feature-plugin", str(plugin_file(TINY_ENCODER))]


def run(folder: Path, *more: str, report=None) -> Result:
    return CliRunner().invoke(cli, arguments(folder, *more), obj=Hooks(report))


def test_a_slide_whose_scale_only_the_table_of_mpp_states_is_encoded(folder: Path):
    paint_slide(folder / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512), mpp=None)
    assert run(folder).exit_code == 1
    (folder / "mpp.csv").write_text("wsi,mpp\na,0.5\nb,0.5\nc,0.25\n")
    done = run(folder, "--mpp-csv", str(folder / "mpp.csv"))
    assert done.exit_code == 0, done.output
    assert "1 of 3 rows belongs to no slide that was found: c" in done.output
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        assert file.attrs["mpp"] == 0.5


def test_each_case_becomes_one_file_and_the_second_run_reuses_all(folder: Path):
    first = run(folder)
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert lines[-3:-1] == [
        "case p1: mean-tiny embedding of 2 slides computed (new)",
        "case p2: mean-tiny embedding of 1 slide computed (new)",
    ]
    assert lines[-1] == f"2 patient embeddings: 2 computed, 0 reused, 0 failed; files in {folder / 'out'}"
    for case_id in ("p1", "p2"):
        with h5py.File(folder / "out" / "patient_features" / "mean-tiny" / f"{case_id}.h5") as file:
            assert file["features"].shape == (3,)
    second = run(folder)
    assert second.stdout.splitlines()[-1].startswith("2 patient embeddings: 0 computed, 2 reused, 0 failed")


def test_each_slide_is_worked_on_once_and_told_of_up_to_its_features(folder: Path):
    told: list[Outcome] = []
    assert run(folder, report=lambda _, outcome: told.append(outcome)).exit_code == 0
    steps = ("slide", "tissue_mask", "patch_coords", "patch_features/tiny")
    expected = [f"{stem} {step}" for stem in "ab" for step in steps]
    assert sorted(f"{outcome.stem} {outcome.step}" for outcome in told) == sorted(expected)


def test_a_slide_that_fails_costs_its_case_and_the_exit_code_and_no_other_case(folder: Path):
    table(folder, "p1,a.svs", "p1,broken.svs", "p2,b.svs")
    result = run(folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[-3].startswith("case p1: mean-tiny embedding FAILED: broken: ")
    assert lines[-2].startswith("case p2: mean-tiny embedding of 1 slide computed")
    assert lines[-1].startswith("2 patient embeddings: 1 computed, 0 reused, 1 failed")


@pytest.mark.parametrize(
    ("row", "complaint"), [("p1,none.svs", "slide_path none.svs: there is no"), (",a.svs", "case_id is empty")]
)
def test_a_mistake_in_the_table_stops_before_any_work_with_exit_code_1(folder: Path, row: str, complaint: str):
    table(folder, "p1,a.svs", row)
    result = run(folder)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {folder / 'cases.csv'}, line 3: {complaint}")
    assert len(result.stderr.splitlines()) == 1
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--patient-encoders", "titan"), "titan encodes slides, not patients"),
        (("--patient-encoders", "mean-tiny,mean-tiny"), "mean-tiny is given twice"),
        (("--patient-encoders", "moozy"), "patch size 256 px does not suit"),
        (("--patient-encoders", "moozy", "--patch-size", "224", "--target-mag", "40"), "moozy needs 20x"),
        (("--target-mag", "20", "--target-mpp", "0.5"), "both state the scale"),
        (("--patch-encoder-ckpt-path", "uni_v1=README.md"), "which does not run here"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_work(folder: Path, monkeypatch, more: tuple[str, ...], complaint: str):
    monkeypatch.chdir(folder)
    (folder / "README.md").write_text("")
    result = run(folder, *more)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not (folder / "out").exists()


def test_a_table_that_is_not_there_is_wrong_usage(folder: Path):
    (folder / "cases.csv").unlink()
    result = run(folder)
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_the_help_lists_the_command_and_its_options():
    assert "encode-patient" in CliRunner().invoke(cli, ["--help"]).stdout
    shown = CliRunner().invoke(cli, ["encode-patient", "--help"]).stdout
    for option in ("--patient-encoders", "--output", "--patch-size", "--feature-plugin", "--device", "--force"):
        assert option in shown
    assert "--slide-encoders" not in shown


def test_the_help_imports_no_torch():
    code = "import sys, atlaspatch_core.cli.main; print([n for n in ('torch', 'h5py') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_ctrl_c_ends_with_130_and_what_was_finished_stays(folder: Path):
    deadly = folder / "deadly.py"
    deadly.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = run_cli(*arguments(folder), "--feature-plugin", deadly)
    assert done.returncode == 130
    assert "what was finished stays in" in done.stderr
