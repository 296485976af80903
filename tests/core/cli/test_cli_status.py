"""``atlaspatch status`` of folders that have no project file, and its page in a real browser."""

import json
import re
import shutil
from pathlib import Path

import pytest
from browsing import opened, press
from click.testing import CliRunner
from plugins import plugin_file
from tracked_folders import PLUGIN, encode, paint, runs_of, state_of

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.operations.report.rendering import MOST_EMBEDDED
from atlaspatch_core.operations.report.status_page import render_status_page, status_page
from atlaspatch_core.operations.tracking.project_status import ProjectStatus
from atlaspatch_core.operations.tracking.runs import RunFile
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State, Validity


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The output folder of one run over two slides, one of which is none."""
    paint(tmp_path / "slides", "a")
    (tmp_path / "slides" / "b.svs").write_bytes(b"no slide")
    encode(tmp_path)
    return tmp_path / "out"


def status(*words: str | Path) -> str:
    result = CliRunner().invoke(cli, ["status", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def refusal(*words: str | Path) -> str:
    result = CliRunner().invoke(cli, ["status", *map(str, words)])
    assert result.exit_code == 2, result.output
    return result.output


def states(*words: str | Path) -> dict[tuple[str, str], str]:
    return {(it["slide"], it["output"]): it["state"] for it in json.loads(status(*words, "--json"))}


def test_a_folder_without_project_file_is_held_against_what_its_run_asked_for(finished):
    lines = status(finished).splitlines()

    assert lines[0].split() == ["slide", "tissue_mask", "patch_coords", "patch_features/tiny"]
    assert lines[1].split() == ["b", "failed", "missing", "missing", "missing"]
    assert lines[2].startswith("    slide: b: b.svs")
    assert lines[-2] == "2 slides, 1 of them wholly fresh and not listed"
    assert re.fullmatch(
        r"run [0-9a-f]{12} \(encode-slide\) completed: .* slides: 2 of 2: 1 computed, 1 failed", lines[-1]
    )
    assert status("--output", finished) == status(finished)


def test_encoders_and_slides_of_several_runs_count_together(finished):
    more = paint(finished.parent / "more", "c")
    encode(finished.parent, "--patch-encoders", "other", slides=more)

    found = states(finished)

    assert found["a", "patch_features/tiny"] == found["c", "patch_features/other"] == "fresh"
    assert found["a", "patch_features/other"] == found["c", "patch_features/tiny"] == "missing"


def test_another_setting_of_the_latest_run_makes_what_it_did_not_touch_stale(finished):
    more = paint(finished.parent / "more", "c")
    encode(finished.parent, "--step-size", "128", slides=more)

    assert states(finished)["a", "patch_coords"] == "stale"
    assert "step_size none → 128" in status(finished)


def test_slides_that_are_gone_are_known_by_their_results(finished):
    shutil.rmtree(finished.parent / "slides")

    found = states(finished)

    assert found["a", "patch_features/tiny"] == "fresh"
    assert found["b", "slide"] == "failed"


def test_an_output_folder_may_be_moved(finished):
    moved = finished.rename(finished.parent / "moved")

    assert states(moved)["a", "patch_features/tiny"] == "fresh"


def test_a_result_that_is_there_is_fresh_whatever_failed_before(finished):
    paint(finished.parent / "slides", "b")
    shutil.copytree(finished / "wsi_states", finished.parent / "old_states")
    encode(finished.parent)
    shutil.rmtree(finished / "wsi_states")
    shutil.copytree(finished.parent / "old_states", finished / "wsi_states")

    assert set(states(finished).values()) == {"fresh"}


def test_a_folder_with_a_project_file_is_that_project(finished, monkeypatch):
    project = 'output = "out"\n[slides]\nfolders = ["slides"]\n'
    (finished.parent / "atlaspatch.toml").write_text(project)

    assert states(finished.parent) == {
        ("a", "slide"): "fresh",
        ("a", "tissue_mask"): "fresh",
        ("b", "slide"): "failed",
        ("b", "tissue_mask"): "missing",
    }


def run(tmp_path: Path, *more: str) -> int:
    where = ["--wsi-dir", str(tmp_path / "slides"), "--job-dir", str(tmp_path / "job"), "--gpus", "-1"]
    return CliRunner().invoke(cli, ["run", *where, *more]).exit_code


def test_a_folder_made_stage_by_stage_is_held_against_what_each_stage_was_told(tmp_path):
    paint(tmp_path / "slides", "a")
    geometry = ["--mag", "20", "--patch-size", "256"]
    encoder = ["--patch-encoder", "tiny", "--feature-plugin", str(plugin_file(PLUGIN))]

    assert run(tmp_path, "--task", "seg", "--segmenter", "otsu") == 0
    of_seg = states(tmp_path / "job")
    assert run(tmp_path, "--task", "coords", *geometry) == 0
    assert run(tmp_path, "--task", "feat", *geometry, *encoder) == 0

    name = "20x_256px_0px_overlap"
    outputs = ("slide", "tissue_mask", f"{name}/patch_coords", f"{name}/patch_features/tiny")
    assert of_seg == {("a", "slide"): "fresh", ("a", "tissue_mask"): "fresh"}
    assert states(tmp_path / "job") == {("a", output): "fresh" for output in outputs}
    assert state_of(tmp_path / "job", "a")["summary"]["patch_features"] == {"tiny": "completed"}
    assert [it["tool"] for it in runs_of(tmp_path / "job")] == ["run"] * 3


def test_a_run_that_stops_at_the_first_failure_is_an_error(tmp_path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "b.svs").write_bytes(b"no slide")

    assert run(tmp_path, "--task", "seg", "--segmenter", "otsu") == 1

    (it,) = runs_of(tmp_path / "job")
    assert it["status"] == "error"
    assert "Stopped at the first slide that failed, b" in it["error"]


def test_wrong_usage_says_what_to_do(finished, tmp_path):
    assert "no run of atlaspatch is recorded there" in refusal(tmp_path / "slides")
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "name two folders" in refusal(finished, "--output", tmp_path)
    assert "give it, or OUTPUT_DIR" in refusal(finished, "--project", "x.toml")
    assert "give one of" in refusal(finished, "--html", "x.html", "--json")


def test_runs_of_another_version_are_not_guessed_at(finished):
    (path,) = (finished / "runs").glob("*.json")
    run = json.loads(path.read_bytes())
    path.write_text(json.dumps(run | {"project": {"unheard_of": 1}}))

    assert "of another version" in refusal(finished)


def test_a_page_that_cannot_be_written_is_one_sentence(finished):
    result = CliRunner().invoke(cli, ["status", str(finished), "--html", str(finished / "summary.md" / "page.html")])

    assert result.exit_code == 1
    assert "the page cannot be written" in result.output


def made_up(folder: Path, count: int) -> ProjectStatus:
    """Return slides that exist only by name, every third of which failed, with thumbnails."""
    geometry = {"patch_size": 256, "target_mag": 20}
    recipe = make_recipe(make_project({"output": folder / "out", "geometry": [geometry]}, origin="test"))
    (folder / "out" / "thumbnails").mkdir(parents=True)
    outputs = []
    for number in range(count):
        stem = f"slide #{number:04}"
        (folder / "out" / "thumbnails" / f"{stem}.jpg").write_bytes(b"")
        failed = number % 3 == 0
        mask = (State.FAILED, "no <tissue>") if failed else (State.FRESH, "")
        outputs += [
            Validity(stem, OutputKey("slide"), State.FRESH),
            Validity(stem, OutputKey("tissue_mask"), *mask),
            Validity(
                stem, OutputKey("patch_coords"), State.MISSING if failed else State.STALE, "" if failed else "old"
            ),
        ]
    killed = RunFile(folder / "abc.json", {"status": "killed", "tool": "run", "error": "the process ended"})
    return ProjectStatus(recipe, tuple(outputs), (killed,))


def test_many_thumbnails_are_linked_from_where_the_page_lies_and_few_are_part_of_it(finished, tmp_path):
    many = status_page(made_up(tmp_path / "many", MOST_EMBEDDED + 1), tmp_path)
    status(finished, "--html", tmp_path / "few.html")

    assert many.rows[7].picture == "many/out/thumbnails/slide%20%230007.jpg"
    assert 'loading="lazy"' in render_status_page(many)
    assert (tmp_path / "few.html").read_text().count("data:image/jpeg;base64,") == 1


@pytest.fixture
def page(browser, tmp_path):
    path = tmp_path / "status.html"
    path.write_text(render_status_page(status_page(made_up(tmp_path, 120), tmp_path)))
    return opened(browser, path)


def expect_rows(page, first: list[str], count: int) -> None:
    """Wait until so many rows are shown, and the first of them are these."""
    from playwright.sync_api import expect

    rows = page.locator("#matrix tbody tr:visible th")
    expect(rows).to_have_count(count)
    for number, name in enumerate(first):
        expect(rows.nth(number)).to_have_text(name)


def test_the_page_of_a_real_folder_opens_offline_and_shows_it(browser, finished):
    """The page of a real folder opens offline and shows pictures states and reasons."""
    status(finished, "--html", finished / "status.html")
    page = opened(browser, finished / "status.html")

    assert page.complaints == []
    assert page.locator("#matrix img").evaluate("it => it.decode().then(() => it.naturalWidth)") > 0
    assert page.locator("#matrix tbody tr").nth(1).locator("td").all_inner_texts()[:2] == ["✗ failed", "· missing"]
    assert "slide: b: b.svs" in page.locator("#matrix tbody tr").nth(1).inner_text()
    assert "completed, with failures" in page.locator(".runs").inner_text()


def test_the_page_filters_by_words_and_by_the_state_of_an_output(page):
    from playwright.sync_api import expect

    page.get_by_label("Name or reason contains").fill("#0003")
    expect_rows(page, ["slide #0003"], 1)
    page.get_by_label("Name or reason contains").fill("NO <TISSUE>")
    expect(page.locator("#count")).to_have_text("40 of 120 slides")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#count")).to_have_text("120 of 120 slides")
    page.get_by_label("State").select_option("stale")
    expect_rows(page, ["slide #0001"], 80)
    page.get_by_label("of output").select_option("tissue_mask")
    expect_rows(page, [], 0)
    page.get_by_label("State").select_option("not fresh")
    expect_rows(page, ["slide #0000"], 40)


def test_the_page_sorts_by_keyboard_with_what_needs_somebody_first(page):
    head = page.locator("#matrix thead").get_by_role("button", name="tissue_mask")
    head.focus()
    press(page, "Enter")
    expect_rows(page, ["slide #0000", "slide #0003"], 120)
    press(page, "Enter")
    expect_rows(page, ["slide #0001"], 120)
    assert page.locator("#matrix th[aria-sort]").get_attribute("aria-sort") == "descending"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_states_stand_out_by_day_and_by_night_and_are_words_too(browser, tmp_path, scheme):
    path = tmp_path / "status.html"
    path.write_text(render_status_page(status_page(made_up(tmp_path, 120), tmp_path)))
    page = opened(browser, path, color_scheme=scheme)
    colour = "(it, name) => getComputedStyle(it)[name]"
    back = page.locator("body").evaluate(colour, "backgroundColor")

    for state in State:
        cell = page.locator(f"#matrix td.{state}").first
        assert state.value in cell.inner_text()
        assert contrast(cell.evaluate(colour, "color"), back) >= 4.5
        bar = page.locator(f".bar .{state}").first
        assert contrast(bar.evaluate(colour, "color"), bar.evaluate(colour, "backgroundColor")) >= 4.5
