"""What commands that make results say, and where: --dry-run, -q, --log-file, --json; and report of a folder."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from paths import ROOT

from atlaspatch_core.cli.main import cli

PLACE = "20x_256px_0px_overlap"
SLIDE_KEYS = {"stem", "status", "warnings", "outputs"}
OUTPUT_KEYS = {
    "output", "kind", "encoder", "geometry", "status", "why", "fingerprint", "seconds", "path", "numbers",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose masks and coords were made, and a file that is none."""
    folder = tmp_path_factory.mktemp("messages")
    (folder / "wsis").mkdir()
    paint_slide(folder / "wsis" / "a.svs", stain(white(1024, 1024), 0, 0, 512, 512), objective_power=20)
    (folder / "wsis" / "b.svs").write_bytes(b"no slide")
    assert run(folder, "--skip-errors").exit_code == 1
    return folder


def run(folder: Path, *more: str, job: str = "job") -> Result:
    of_slides = ["--task", "coords", "--wsi-dir", str(folder / "wsis"), "--output", str(folder / job)]
    return CliRunner().invoke(cli, ["run", *of_slides, "--segmenter", "otsu", "--patch-size", "256", *more])


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(folder: Path):
    result = run(folder, "--dry-run", job="other")
    assert result.exit_code == 0
    assert f"a: slide, tissue_mask, {PLACE}/patch_coords to compute (new)" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("2 slides: 2 to compute, 0 up to date; nothing was written to")
    assert not (folder / "other").exists()
    lines = run(folder, "--dry-run").stdout.splitlines()
    assert "a: nothing to do" in lines
    assert lines[-1].startswith("2 slides: 1 to compute, 1 up to date")


def test_json_is_all_that_standard_output_gets(folder: Path):
    for more, statuses in (((), ("reused", "failed")), (("--dry-run",), ("would_reuse", "would_compute"))):
        result = run(folder, "--skip-errors", "--json", *more)
        values = json.loads(result.stdout)
        assert (values["command"], values["exit_code"], values["dry_run"]) == ("run", result.exit_code, bool(more))
        slides = {slide["stem"]: slide for slide in values["slides"]}
        assert (slides["a"]["status"], slides["b"]["status"]) == statuses
        assert [values["counts"][status] for status in statuses] == [1, 1]
        assert slides["a"].keys() == SLIDE_KEYS
        assert [output["output"] for output in slides["a"]["outputs"]][:2] == ["slide", "tissue_mask"]
        assert all(output.keys() == OUTPUT_KEYS for output in slides["a"]["outputs"])
    assert "b: slide FAILED" in run(folder, "--skip-errors", "--json").stderr


def test_quiet_names_slides_that_failed_alone(folder: Path):
    lines = run(folder, "--skip-errors", "-q").stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("b: slide FAILED")
    assert "exclude each other" in run(folder, "-q", "-v").stderr


def test_a_log_file_has_all_that_is_said_and_what_was_typed(folder: Path):
    log = folder / "logs" / "run.log"
    result = run(folder, "--skip-errors", "--log-file", str(log))
    text = log.read_text()
    assert all(line in text for line in result.stdout.splitlines())
    assert " tissue_mask reused " in text
    assert text.splitlines()[-1].endswith("exit code 1")
    refused = run(folder, "--log-file", str(log / "file"))
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr


def test_otsu_says_once_whose_it_is(folder: Path):
    (line,) = [line for line in run(folder, "--dry-run").stderr.splitlines() if "otsu" in line]
    assert "otsu_tiled" in line
    assert "otsu_whole" in line


def test_a_report_of_an_output_folder_needs_no_project(folder: Path):
    result = CliRunner().invoke(cli, ["report", str(folder / "job")])
    assert result.exit_code == 0, result.output
    assert "1 failed slides" in result.stdout
    page = (folder / "job" / "cohort_report.html").read_text(encoding="utf-8")
    assert ">a<" in page
    refused = CliRunner().invoke(cli, ["report", str(folder / "wsis")])
    assert (refused.exit_code, "no run of atlaspatch is recorded" in refused.stderr) == (2, True)
    both = CliRunner().invoke(cli, ["report", str(folder / "job"), "--project", "atlaspatch.toml"])
    assert "--project names the output folder itself" in both.stderr


def test_the_page_about_the_summary_lists_its_keys(folder: Path):
    page = (ROOT / "docs" / "json-summary.md").read_text(encoding="utf-8")
    values = json.loads(run(folder, "--skip-errors", "--json").stdout)
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert listed == {*values, *SLIDE_KEYS, *OUTPUT_KEYS}
