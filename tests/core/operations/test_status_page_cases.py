"""Cases on the page that ``atlaspatch status --html`` writes."""

from dataclasses import replace
from pathlib import Path

from browsing import opened
from click.testing import CliRunner

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.operations.report.status_page import write_status_page
from atlaspatch_core.operations.tracking.project_status import ProjectStatus
from atlaspatch_core.operations.tracking.unverified import UnverifiedResult
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe, make_recipe
from atlaspatch_core.validity.states import State, Validity

MEAN = OutputKey("patient_embedding", "mean-efficientnet_lite0")


def seen(folder: Path, *cases: Validity) -> ProjectStatus:
    """Return one slide, and these cases."""
    geometry = {"patch_size": 256, "target_mag": 20}
    recipe = make_recipe(make_project({"output": folder / "out", "geometry": [geometry]}, origin="test"))
    outputs = [Validity("a", stage.step, State.FRESH) for stage in recipe.stages]
    return ProjectStatus(
        Recipe(recipe.project, recipe.stages, (OutputSpec(MEAN),) if cases else ()), (*outputs,), (), cases
    )


def test_cases_stand_below_the_slides_and_sort_by_themselves(browser, tmp_path):
    from playwright.sync_api import expect

    why = "upstream changed: patch_features/x of a"
    cases = Validity("p2", MEAN, State.STALE, why), Validity("p1", MEAN, State.FRESH)
    counts = write_status_page(seen(tmp_path, *cases), tmp_path / "status.html")

    assert counts == {
        "slides": 1,
        "cases": 2,
        "outputs fresh": 4,
        "outputs stale": 1,
        "outputs missing": 0,
        "outputs failed": 0,
    }
    page = opened(browser, tmp_path / "status.html")
    assert page.complaints == []
    rows = page.locator("#case-matrix tbody tr")
    expect(rows.nth(0).locator("th, td")).to_have_text(["p2", "↻ stale", f"{MEAN}: {why}"])
    page.locator("#case-matrix thead").get_by_role("button", name="case").click()
    expect(rows.locator("th")).to_have_text(["p1", "p2"])
    expect(page.locator("#matrix tbody tr")).to_have_count(1)


def test_without_cases_the_page_has_no_section_for_them(tmp_path):
    assert "cases" not in write_status_page(seen(tmp_path), tmp_path / "status.html")
    assert 'id="cases"' not in (tmp_path / "status.html").read_text()


def test_the_page_says_which_slides_were_left_out(tmp_path):
    (tmp_path / "slides").mkdir()
    for stem in ("good", "two\nlines", "<b>" + "x" * 210):
        (tmp_path / "slides" / f"{stem}.svs").touch()
    (tmp_path / "atlaspatch.toml").write_text(
        'output = "output"\n[slides]\nfolders = ["slides"]\n[[geometry]]\npatch_size = 256\ntarget_mag = 20\n'
    )
    words = ["status", "--project", str(tmp_path / "atlaspatch.toml"), "--html", str(tmp_path / "page.html")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "two\\x0alines.svs: its name has control characters" in page
    assert "&lt;b&gt;x" in page
    assert "more than 200; rename it" in page


def test_what_is_unverified_and_not_asked_for_is_counted_and_named_at_its_slide(browser, tmp_path):
    step = OutputKey("patch_features", "somebodys")
    why = "adopted from TRIDENT, unverified (the project has no such encoder)"
    status = replace(seen(tmp_path), unverified=(UnverifiedResult("a", step, why),))

    counts = write_status_page(status, tmp_path / "status.html")

    assert counts["results unverified"] == 1
    page = opened(browser, tmp_path / "status.html", viewport={"width": 500, "height": 800})
    table = page.get_by_role("region", name="Unverified").locator("tbody tr")
    assert table.locator("th, td").all_inner_texts() == [str(step), "1", why]
    assert table.bounding_box()["height"] < 300
    page.get_by_label("Name or reason contains").fill("unverified")
    assert page.locator("#matrix tbody tr:visible .why").all_inner_texts() == [f"? {step}: {why}"]
    assert "results unverified" not in write_status_page(seen(tmp_path), tmp_path / "status.html")
    assert "Unverified" not in (tmp_path / "status.html").read_text()
