"""``atlaspatch audit`` and ``atlaspatch adopt`` as they are called."""

import csv
import io
import json
import sys
import tomllib
from pathlib import Path

import foreign_folders as foreign
import numpy as np
import pytest
from click.testing import CliRunner, Result
from foreign_folders import GEOMETRY, lattice, random_features, trident_job
from painting import paint_slide

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.interop.audit.findings import COLUMNS


def times(folder: Path) -> dict[Path, int]:
    """Return the modification time of every file but caches."""
    return {it: it.stat().st_mtime_ns for it in folder.rglob("*") if it.is_file() and it.parent.name != ".index"}


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def slides(tmp_path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    pixels = np.full((1024, 1024, 3), 255, np.uint8)
    pixels[256:768, 256:768] = np.random.default_rng(7).integers((150, 40, 100), (250, 120, 200), (512, 512, 3))
    paint_slide(folder / "a.svs", pixels)
    return folder


# audit


def test_a_sound_folder_ends_with_0_and_one_with_problems_with_1(tmp_path):
    job = trident_job(tmp_path / "job", "a")
    sound = call("audit", job)
    assert (sound.exit_code, sound.output) == (0, "TRIDENT results, 1 slide, 2 files: 0 problems, 0 notes\n")

    foreign.trident_features(job, "a", lattice(), random_features(3), "uni_v1")
    damaged = call("audit", job)

    assert damaged.exit_code == 1
    lines = damaged.output.splitlines()
    assert lines[0] == (
        f"PROBLEM  rows  a: {GEOMETRY}/features_uni_v1/a.h5: uni_v1: 3 rows for 4 patches; "
        "compute the features again from these coords"
    )
    assert lines[-2].split() == ["problem", "rows", "1"]


def test_notes_alone_are_no_problem(tmp_path):
    foreign.clam_coords(tmp_path, "a", lattice())
    assert call("audit", tmp_path).exit_code == 0


def test_findings_come_as_json_and_as_csv_with_the_same_fields(tmp_path):
    job = trident_job(tmp_path / "job", "a")
    foreign.trident_features(job, "a", lattice(), random_features(3), "uni_v1")
    rows = json.loads(call("audit", job, "--json").stdout)
    table = list(csv.DictReader(io.StringIO(call("audit", job, "--csv").stdout)))
    assert rows == table
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["value"], rows[0]["bound"]) == ("3", "4")


def test_wrong_usage_of_the_audit_ends_with_2(tmp_path):
    job = trident_job(tmp_path / "job", "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.toml").write_text("geometry = 3")
    for words, told in (
        ((tmp_path / "nowhere",), "does not exist"),
        ((tmp_path / "empty",), "holds no results"),
        ((job, "--json", "--csv"), "either --json or --csv"),
        ((job, "--project", tmp_path / "bad.toml"), "bad.toml"),
        ((job, "--slides", tmp_path / "empty"), "no slide found"),
        ((job, "--mpp-csv", tmp_path / "bad.toml"), "say which, by --slides or --project"),
    ):
        result = call("audit", *words)
        assert result.exit_code == 2
        assert told in result.output


def test_a_slide_whose_scale_nobody_knows_is_held_against_its_results_all_the_same(tmp_path):
    job = trident_job(tmp_path / "job", "a")
    paint_slide(tmp_path / "a.svs", np.full((1024, 1024, 3), 255, np.uint8), mpp=None, objective_power=None)
    result = call("audit", job, "--slides", tmp_path / "a.svs")
    assert (result.exit_code, result.output) == (0, "TRIDENT results, 1 slide, 2 files: 0 problems, 0 notes\n")


def test_a_slide_that_does_not_open_is_named_once(tmp_path):
    job = trident_job(tmp_path / "job", "a")
    (tmp_path / "a.svs").write_bytes(b"")
    told = call("audit", job, "--slides", tmp_path / "a.svs").output.splitlines()[0]
    assert told.startswith(f"PROBLEM  slide_unreadable  a: {tmp_path / 'a.svs'}: a.svs is empty; ")


def test_results_that_were_made_at_another_scale_than_the_table_states_are_stale(tmp_path, slides):
    out, project = tmp_path / "out", tmp_path / "out" / "atlaspatch.toml"
    call("adopt", trident_job(tmp_path / "job", "a"), "-o", out, "--slides", slides)
    table = tmp_path / "mpp.csv"
    table.write_text("wsi,mpp\na.svs,0.4\n")
    assert "stated mpp" not in call("audit", out, "--project", project).output
    result = call("audit", out, "--project", project, "--mpp-csv", table)
    assert result.exit_code == 1
    assert "slide is stale: stated mpp none → 0.4" in result.output


# adopt


def test_adopting_without_a_project_writes_one_that_asks_for_what_there_is(tmp_path, slides):
    job = trident_job(tmp_path / "job", "a")
    foreign.trident_features(job, "a", lattice(), random_features(4, 100), "somebodys")
    foreign.trident_config(job, min_tissue_proportion=0.25)

    result = call("adopt", job, "--output", tmp_path / "out", "--slides", slides)

    assert result.exit_code == 1  # uni_v1 gives 1024 dims, not 8
    assert f"{GEOMETRY}/coords taken over" in result.output
    assert "it has 8 dims, uni_v1 gives 1024" in result.output
    assert "note: somebodys is left out of the project" in result.output
    project = load_project(tmp_path / "out" / "atlaspatch.toml")
    (geometry,) = project.geometry
    assert (geometry.name, geometry.scale, geometry.min_tissue) == (GEOMETRY, "nominal", 0.25)
    assert geometry.patch_encoders == ("uni_v1",)
    assert (project.output.resolve(), project.slides.folders) == ((tmp_path / "out").resolve(), (slides,))
    assert (tmp_path / "out" / GEOMETRY / "patches" / "a.h5").exists()


def test_what_is_odd_about_a_slide_is_among_the_last_lines_of_adopting(tmp_path, slides):
    job, table = trident_job(tmp_path / "job", "a"), tmp_path / "mpp.csv"
    table.write_text("wsi,mpp\na.svs,0.38\n")

    where = ("--output", tmp_path / "out", "--slides", slides, "--mpp-csv", table)
    result = call("adopt", job, *where, "--dry-run")

    assert "a: WARNING: 0.38 µm/px (mpp csv) counts, unlike 0.5 µm/px (openslide.mpp-x)" in result.output
    assert "1 slide, 1 slide with warnings, nothing was written" in result.output


def test_adopting_twice_uses_the_project_that_was_written_and_changes_nothing(tmp_path, slides):
    job = trident_job(tmp_path / "job", "a", encoder="somebodys")
    call("adopt", job, "-o", tmp_path / "out", "--slides", slides)
    files = times(tmp_path / "out")

    again = call("adopt", job, "-o", tmp_path / "out")

    assert again.exit_code == 0
    assert "coords already there" in again.output
    assert times(tmp_path / "out") == files


def test_the_status_of_what_was_adopted_without_weights_names_them_unverified(tmp_path, slides):
    job = tmp_path / "job"
    foreign.trident_outlines(job, "a")
    foreign.trident_coords(job, "a", lattice())
    foreign.trident_features(job, "a", lattice(), random_features(4, 1280), "efficientnet_lite0")

    result = call("adopt", job, "-o", tmp_path / "out", "--slides", slides)

    assert result.exit_code == 0
    assert "features/efficientnet_lite0 unverified (no weights recorded)" in result.output
    assert "--accept-unverified" in result.output
    status = call("status", "--project", tmp_path / "out" / "atlaspatch.toml", "--json")
    states = {row["output"]: (row["state"], row["why"]) for row in json.loads(status.stdout)}
    assert states["tissue_mask"][0] == "fresh"
    assert states[f"{GEOMETRY}/patch_coords"][0] == "fresh"
    state, why = states[f"{GEOMETRY}/patch_features/efficientnet_lite0"]
    assert (state, "adopted from TRIDENT, unverified" in why) == ("stale", True)


def test_results_of_atlaspatch_and_of_clam_get_a_project_too(tmp_path, slides):
    foreign.atlaspatch_file(tmp_path / "theirs", "a", lattice(), {"efficientnet_lite0": random_features(4, 1280)})
    assert call("adopt", tmp_path / "theirs", "-o", tmp_path / "one", "--slides", slides).exit_code == 0
    values = tomllib.loads((tmp_path / "one" / "atlaspatch.toml").read_text())["geometry"]
    assert [it["rule"] for it in values] == ["atlaspatch"]
    assert values[0]["patch_encoders"] == ["efficientnet_lite0"]

    foreign.clam_coords(tmp_path / "clam", "a", lattice(), level=1, size=64)
    assert call("adopt", tmp_path / "clam", "-o", tmp_path / "two", "--slides", slides).exit_code == 0
    values = tomllib.loads((tmp_path / "two" / "atlaspatch.toml").read_text())["geometry"]
    assert [(it["patch_size"], it["target_mag"]) for it in values] == [(64, 5)]


@pytest.mark.parametrize(("box", "least"), [((256, 256, 768, 768), 0.0), ((200, 256, 768, 768), 0.3)])
def test_the_least_tissue_that_nobody_recorded_is_found_out_from_the_patches(tmp_path, slides, box, least):
    """The second outlines reach over 56 of 256 px, 22 %, of patches that the job does not have."""
    job = tmp_path / "job"
    foreign.trident_outlines(job, "a", [box])
    foreign.trident_coords(job, "a", lattice())
    result = call("adopt", job, "-o", tmp_path / "out", "--slides", slides)
    assert load_project(tmp_path / "out" / "atlaspatch.toml").geometry[0].min_tissue == least
    assert f"{GEOMETRY}/coords taken over" in result.output


def test_results_that_were_cut_by_true_scale_get_a_project_of_true_scale(tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    paint_slide(slides / "a.svs", np.full((1024, 1024, 3), 255, np.uint8), mpp=0.4)
    job = tmp_path / "job"
    foreign.trident_coords(job, "a", np.array([[320, 320]]), patch_size_level0=320)
    result = call("adopt", job, "-o", tmp_path / "out", "--slides", slides)
    assert load_project(tmp_path / "out" / "atlaspatch.toml").geometry[0].scale == "true"
    assert f"{GEOMETRY}/coords taken over" in result.output


def test_a_dry_run_writes_nothing_at_all(tmp_path, slides):
    job = trident_job(tmp_path / "job", "a", encoder="somebodys")
    result = call("adopt", job, "-o", tmp_path / "out", "--slides", slides, "--dry-run")
    assert result.exit_code == 0
    assert "nothing was written" in result.output
    assert not (tmp_path / "out").exists()


class Terminal(io.TextIOWrapper):
    """A stream of UTF-8 that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def adopt_at_terminal(folder: Path, slides: Path, monkeypatch: pytest.MonkeyPatch, *streams: str) -> str:
    """Adopt results while these streams are a terminal, and return what it got to show."""
    shown = io.BytesIO()
    terminal = Terminal(shown, "utf-8", write_through=True)
    monkeypatch.setenv("TERM", "xterm")
    for stream in streams:
        monkeypatch.setattr(sys, stream, terminal)
    words = ["adopt", trident_job(folder / "job", "a"), "-o", folder / "out", "--slides", slides]
    cli.main([str(word) for word in words], standalone_mode=False)
    return shown.getvalue().decode()


def test_adopting_into_a_file_keeps_its_lines_and_shows_the_bar(tmp_path, slides, monkeypatch, capsys):
    shown = adopt_at_terminal(tmp_path, slides, monkeypatch, "stderr")
    assert capsys.readouterr().out.startswith("a: outlines taken over (its outlines) · ")
    assert "1/1" in shown
    assert "taken over" not in shown


def test_lines_of_adoption_stand_above_the_bar_of_a_terminal(tmp_path, slides, monkeypatch):
    shown = adopt_at_terminal(tmp_path, slides, monkeypatch, "stderr", "stdout")
    before, _, _ = shown.partition("a\x1b[0m: outlines ")
    assert before.endswith("\r\x1b[2K\x1b[1m"), "the bar is erased before a line is printed"


def test_wrong_usage_of_adoption_ends_with_2_and_writes_nothing(tmp_path, slides):
    job = trident_job(tmp_path / "job", "a")
    mine = tmp_path / "mine"
    (mine / "slides").mkdir(parents=True)
    (mine / "slides" / "a.json").write_text("{}")
    project = tmp_path / "atlaspatch.toml"
    project.write_text('output = "out"\n')
    before = sorted(tmp_path.rglob("*"))
    for words, told in (
        ((job,), "either --output or --project"),
        ((job, "-o", tmp_path / "out", "--project", project, "--slides", slides), "either --output or --project"),
        ((job, "-o", tmp_path / "out"), "--slides"),
        ((job, "--project", project), "--slides"),
        ((job, "-o", job / "out", "--slides", slides), "not to be changed"),
        ((job, "-o", job, "--slides", slides), "not to be changed"),
        ((slides, "-o", tmp_path / "out", "--slides", slides), "holds no results"),
        ((mine, "-o", tmp_path / "out", "--slides", slides), "own results"),
        ((job, "-o", tmp_path / "out", "--slides", slides, "--verify", 0), "--verify"),
    ):
        result = call("adopt", *words)
        assert result.exit_code == 2, words
        assert told in result.output
    assert sorted(tmp_path.rglob("*")) == before
