"""What ``atlaspatch encode-patient`` records of its runs, and what ``atlaspatch status`` makes of it."""

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugins import plugin_file
from tracked_folders import PLUGIN, PLUGIN_HEAD, at_gate, encode, paint, runs_of, state_of
from waiting import SECONDS, send

from atlaspatch_core.cli.main import cli

GATED = f"""{PLUGIN_HEAD}
def gated():
    (HERE / "reached").touch()
    while (HERE / "gate").exists():
        time.sleep(0.01)
    return mean_colour()


PATCH_ENCODERS = [
    PatchEncoder(name="gated", architecture=Built(gated), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0")
]
"""
"""An encoder of three numbers that is not built as long as there is a file ``gate``."""


def arguments(folder: Path, *more: str, table: str = "cases.csv", plugin: Path | None = None) -> list[str]:
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--feature-precision", "float32"]
    where = [
        str(folder / table),
        "--output",
        str(folder / "out"),
        "--feature-plugin",
        str(plugin or plugin_file(PLUGIN)),
    ]
    encoders = [] if "--patient-encoders" in more else ["--patient-encoders", "mean-tiny"]
    return ["encode-patient", *where, *options, *encoders, *more]


def encode_patient(folder: Path, *more: str, table: str = "cases.csv") -> Result:
    return CliRunner().invoke(cli, arguments(folder, *more, table=table))


def cases(folder: Path, *rows: str, name: str = "cases.csv", head: str = "case_id,slide_path") -> Path:
    path = folder / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def states(output: Path) -> dict[tuple[str, str], str]:
    result = CliRunner().invoke(cli, ["status", str(output), "--json"])
    assert result.exit_code == 0, result.output
    return {(it["slide"], it["output"]): it["state"] for it in json.loads(result.stdout)}


def status_of(output: Path) -> str:
    result = CliRunner().invoke(cli, ["status", str(output)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides, and a table of a case of both and of one of the second, which is called like the first slide."""
    paint(tmp_path / "slides", "a", "b")
    cases(tmp_path, "p1,slides/a.svs", "p1,slides/b.svs", "a,slides/b.svs")
    return tmp_path


def test_a_run_over_cases_is_recorded_with_its_slides_and_its_cases(folder):
    assert encode_patient(folder).exit_code == 0

    (run,) = runs_of(folder / "out")
    assert (run["tool"], run["status"], run["error"]) == ("encode-patient", "completed", None)
    assert run["args"]["manifest_path"] == str(folder / "cases.csv")
    assert run["args"]["patient_encoders"] == ["mean-tiny"]
    assert run["slides"] == run["cases"] == {"total": 2, "begun": 2, "computed": 2, "reused": 0, "failed": 0}
    for stem in "ab":
        assert state_of(folder / "out", stem)["summary"]["patch_features"] == {"tiny": "completed"}
    assert len(list((folder / "out" / "wsi_states").iterdir())) == 2


def test_the_summary_counts_cases_and_tells_their_errors(folder):
    (folder / "slides" / "broken.svs").write_bytes(b"no slide")
    cases(folder, "p1,slides/a.svs", "p1,slides/broken.svs", "p2,slides/b.svs")

    assert encode_patient(folder).exit_code == 1

    text = (folder / "out" / "summary.md").read_text()
    assert "- command: encode-patient, atlaspatch" in text
    assert "- slides of this run: 3 of 3: 2 computed, 1 failed\n" in text
    cases_told = "- cases of this run: 2 of 2: 1 computed, 1 failed\n"
    assert f"{cases_told}  - patient_embedding/mean-tiny: 1 computed, 1 failed\n" in text
    assert "- errors (1):\n  - broken: slide: broken.svs is" in text
    assert "- errors of cases (1):\n  - p1: patient_embedding/mean-tiny: broken: broken.svs is" in text
    assert state_of(folder / "out", "broken")["summary"]["segmentation"] == "error"
    assert runs_of(folder / "out")[0]["cases"]["failed"] == 1


def test_status_needs_no_project_file_after_it_and_shows_cases_and_the_run(folder):
    encode_patient(folder)

    lines = status_of(folder / "out").splitlines()

    assert "2 cases, all fresh" in lines
    assert "(encode-patient) completed: " in lines[-1]
    assert lines[-1].endswith("slides: 2 of 2: 2 computed; cases: 2 of 2: 2 computed")
    assert states(folder / "out")["p1", "patient_embedding/mean-tiny"] == "fresh"
    assert set(states(folder / "out").values()) == {"fresh"}


def test_the_page_shows_the_cases_of_a_run(folder):
    encode_patient(folder)

    result = CliRunner().invoke(cli, ["status", str(folder / "out"), "--html", str(folder / "status.html")])

    assert result.exit_code == 0, result.output
    assert "Slides: 2 of 2: 2 computed. Cases: 2 of 2: 2 computed." in (folder / "status.html").read_text()


def test_the_mpp_of_the_table_is_remembered_with_its_slides(folder):
    cases(folder, "p1,slides/a.svs,0.25", head="case_id,slide_path,mpp")
    encode_patient(folder)

    assert set(states(folder / "out").values()) == {"fresh"}
    cases(folder, "p1,slides/a.svs,0.5", head="case_id,slide_path,mpp")
    assert states(folder / "out")["a", "patch_coords"] == "stale"


def test_tables_encoders_and_slides_of_several_runs_count_together(folder):
    encode_patient(folder)
    cases(folder, "p3,slides/a.svs", name="more.csv")
    encode_patient(folder, "--patient-encoders", "mean-other", table="more.csv")
    paint(folder / "slides", "c")
    encode(folder)

    found = states(folder / "out")

    first, second = "patient_embedding/mean-tiny", "patient_embedding/mean-other"
    assert found["p1", first] == found["a", first] == found["p3", second] == "fresh"
    assert found["p1", second] == found["p3", first] == "missing"
    assert found["c", "patch_features/tiny"] == "fresh"


def test_the_geometry_of_the_cases_stays_theirs_in_later_runs(folder):
    """The geometry of the cases stays theirs whatever other geometries later runs have."""
    encode_patient(folder)
    words = ["--wsi-dir", str(folder / "slides"), "--job-dir", str(folder / "out"), "--task", "coords", "--gpus", "-1"]
    result = CliRunner().invoke(cli, ["run", *words, "--segmenter", "otsu", "--mag", "20", "--patch-size", "512"])
    assert result.exit_code == 0, result.output

    found = states(folder / "out")

    assert found["b", "20x_512px_0px_overlap/patch_coords"] == "fresh"
    assert ("p1", "patient_embedding/mean-tiny") in found


def test_cases_of_other_patches_than_the_latest_run_asks_for_are_left_out(folder):
    encode_patient(folder)
    encode(folder, "--step-size", "128")

    assert ("p1", "patient_embedding/mean-tiny") not in states(folder / "out")


def test_of_a_table_that_is_gone_slides_are_shown_and_cases_said_to_be_left_out(folder):
    """Of a table that is gone the slides are shown and the cases are said to be left out."""
    encode_patient(folder)
    (folder / "cases.csv").unlink()

    result = CliRunner().invoke(cli, ["status", str(folder / "out")])

    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"CASES LEFT OUT: {folder / 'cases.csv'}: cannot be read")
    assert "2 slides" in result.stdout


def test_a_mistake_in_the_table_is_no_run(folder):
    cases(folder, "p1,slides/none.svs")

    assert encode_patient(folder).exit_code == 1
    assert not (folder / "out").exists()


@pytest.fixture
def waiting(folder):
    """A run in its own process that has laid the patches of its slides, and waits at the gate."""
    words = arguments(folder, "--patient-encoders", "mean-gated", plugin=folder / "plugin.py")
    (folder / "plugin.py").write_text(GATED)
    with at_gate(folder, words) as process:
        yield process


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)],
)
def test_a_run_over_cases_that_is_told_to_end_says_so(waiting, folder, number, status, code):
    (before,) = runs_of(folder / "out")
    send(number, waiting.pid)
    (folder / "gate").unlink()
    waiting.communicate(timeout=SECONDS)

    (run,) = runs_of(folder / "out")
    assert before["status"] == "running"
    assert (run["status"], waiting.returncode) == (status, code)
    assert f"· {status}" in (folder / "out" / "summary.md").read_text()


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_a_run_over_cases_that_was_killed_is_recognised_by_status(waiting, folder):
    waiting.kill()
    waiting.wait()

    assert "(encode-patient) killed (the process ended without a word" in status_of(folder / "out").splitlines()[-1]
    assert runs_of(folder / "out")[0]["status"] == "killed"
