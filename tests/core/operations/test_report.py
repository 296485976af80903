"""The cohort report: what it gathers, what it finds odd, and the page in a real browser."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browsing import opened, press
from click.testing import CliRunner
from painting import paint_slide, stain, white

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.report.charts import histogram
from atlaspatch_core.operations.report.cohort import gather_cohort
from atlaspatch_core.operations.report.embeddings import embedding_map, nearest, principal_components
from atlaspatch_core.operations.report.outliers import Measure, far_out
from atlaspatch_core.operations.report.page import make_page, render_report
from atlaspatch_core.operations.report.report import write_report
from atlaspatch_core.operations.report.values import Cohort, SlideSummary
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, Recipe, make_recipe
from atlaspatch_core.validity.states import State, Validity

EMBEDDING = "slide_embedding/mean-efficientnet_lite0"
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Recipe:
    """Three slides with embeddings, and one that cannot be opened."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "slides").mkdir()
    for index, stem in enumerate(("first", "second", "third & <last> #3")):
        paint_slide(folder / "slides" / f"{stem}.svs", stain(white(1024, 1024), 256, 256, 512 - 128 * index, 512))
    (folder / "slides" / "broken.svs").write_bytes(b"no slide")
    encoders = {"patch_encoders": ["efficientnet_lite0"], "slide_encoders": ["mean-efficientnet_lite0"]}
    values = {
        "output": folder / "output",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [{"patch_size": 256, "target_mag": 20, "precision": "float32", **encoders}],
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    recipe = make_recipe(make_project(values, origin="test"))
    list(process(find_slides(recipe.project).sources, recipe))
    return recipe


def copy_of(recipe: Recipe, folder: Path) -> Recipe:
    """Return the project with another output folder, which may be changed."""
    shutil.copytree(recipe.project.output, folder / "output")
    return make_recipe(recipe.project.model_copy(update={"output": folder / "output"}))


def info(stem: str) -> SlideInfo:
    return SlideInfo(stem, Path(), "openslide", (Level(1000, 500, 1),), 0.5, "file", 20, "file", "aperio")


def made_up(count: int, **more) -> Cohort:
    """Return slides that exist only as numbers, each with an embedding of its own."""
    angles = np.linspace(0, 1, count)
    slides = [
        SlideSummary(
            f"slide {index:04}",
            (Validity(f"slide {index:04}", SLIDE, State.FRESH),),
            SlideInfo(
                f"slide {index:04}", Path(), "openslide", (Level(1000, 500, 1),), 0.5, "file", 20, "file", "aperio"
            ),
            mask={"tissue_share": 0.3 + 0.001 * index, "fragments": 1},
            patches={"": 100 + index},
            embeddings={EMBEDDING: np.array([np.cos(angle), np.sin(angle), 0.1], np.float32)},
            **more,
        )
        for index, angle in enumerate(angles)
    ]
    return Cohort((SLIDE,), tuple(slides))


def test_what_lies_in_the_files_is_gathered_without_opening_a_slide(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)

    found = gather_cohort(recipe, {SLIDE: {"broken": "it is damaged"}})

    assert [slide.stem for slide in found.slides] == ["broken", "first", "second", "third & <last> #3"]
    assert [(it.stem, str(it.step), it.why) for it in found.failures] == [("broken", "slide", "it is damaged")]
    broken, first, *_ = found.slides
    assert [output.state for output in broken.outputs] == [State.FAILED, *[State.MISSING] * 4]
    assert {output.state for output in first.outputs} == {State.FRESH}
    assert first.patches == {"": 4}
    assert first.embeddings[EMBEDDING].shape == (1280,)
    assert first.picture == recipe.project.output / "thumbnails" / "small" / "first_mask.jpg"


def test_an_edited_mask_is_measured_as_it_lies_there_and_makes_its_coords_stale(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)
    Store(recipe.project.output).geojson("first").write_text(
        '{"type":"Polygon","coordinates":[[[0,0],[1024,0],[1024,512],[0,512],[0,0]]]}'
    )

    slide = next(slide for slide in gather_cohort(recipe).slides if slide.stem == "first")

    assert slide.outlines_by == "a person"
    assert slide.mask["tissue_share"] == 0.5
    assert [it.state for it in slide.outputs] == [State.FRESH, State.FRESH, *[State.STALE] * 3]


def test_a_damaged_file_is_a_failure_with_its_reason(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)
    Store(recipe.project.output).h5("first").write_bytes(b"nothing")

    (failure,) = gather_cohort(recipe).failures

    assert (failure.stem, str(failure.step)) == ("first", "patch_coords")
    assert "cannot be read as HDF5" in failure.why


def test_the_states_are_those_of_status_with_what_runs_remember_of_failures(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)
    assert [it.state for it in gather_cohort(recipe).slides[0].outputs] == [State.MISSING] * 5
    broken, output = str(cohort.project.slides.folders[0] / "broken.svs"), str(recipe.project.output)
    wanted = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--patch-encoders"]
    done = CliRunner().invoke(cli, ["encode-slide", broken, "--output", output, *wanted, "efficientnet_lite0"])
    assert done.exit_code == 1, done.output

    (failure,) = gather_cohort(recipe).failures

    assert (failure.stem, failure.step) == ("broken", SLIDE)
    assert "broken.svs" in failure.why


def test_a_slide_that_was_removed_stays_and_is_marked(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)
    record = Store(recipe.project.output).record
    record("gone").write_text(record("first").read_text().replace('"stem": "first"', '"stem": "gone"'))

    slides = {slide.stem: slide for slide in gather_cohort(recipe).slides}

    assert not slides["gone"].present
    assert slides["first"].present


def test_without_a_picture_the_outlines_are_drawn(cohort, tmp_path):
    recipe = copy_of(cohort, tmp_path)
    Store(recipe.project.output).small_picture("first", "mask").unlink()

    slide = next(slide for slide in gather_cohort(recipe).slides if slide.stem == "first")

    assert slide.picture is None
    assert re.fullmatch(r"(M[\d L]+Z)+", slide.outlines)


def test_nearest_slides_are_those_of_highest_cosine_and_never_the_slide_itself():
    count = 1500  # more than are compared at once
    angles = np.linspace(0, 1.5, count)
    units = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    found = nearest(units, tuple(map(str, range(count))), 2)

    assert [other.stem for other in found["0"]] == ["1", "2"]
    assert {other.stem for other in found["1200"]} == {"1199", "1201"}
    assert all(stem not in {other.stem for other in others} for stem, others in found.items())


def test_principal_components_keep_the_distances_of_points_in_a_plane():
    plane = np.array([[0, 0, 1], [3, 0, 1], [0, 4, 1], [3, 4, 1]], np.float32)

    points, (first, second) = principal_components(plane)

    assert np.linalg.norm(points[0] - points[3]) == pytest.approx(5)
    assert first == pytest.approx(16 / 25)
    assert second == pytest.approx(9 / 25)


def test_one_slide_and_slides_that_are_all_alike_have_a_map_too():
    one = embedding_map(EMBEDDING, made_up(1).slides)
    same = embedding_map(EMBEDDING, [made_up(1).slides[0]] * 3)

    assert one.points.tolist() == [[0, 0]]
    assert same.explained == (0, 0)


def test_an_embedding_that_is_not_finite_stands_on_no_map():
    slides = made_up(3).slides
    slides[0].embeddings[EMBEDDING][0] = np.nan  # type: ignore[index]

    assert embedding_map(EMBEDDING, slides).stems == ("slide 0001", "slide 0002")


def test_a_value_far_from_the_median_is_an_outlier_and_one_in_a_narrow_crowd_is_not():
    shares = {f"{index}": 0.30 + 0.01 * (index % 5) for index in range(20)}

    found = dict(far_out(Measure("tissue_share", "tissue share", shares | {"odd": 0.9})))

    assert list(found) == ["odd"]
    assert found["odd"].text == "tissue share 0.9, more than is usual here (median 0.32)"
    crowd = {f"{index}": 0.2520 + 0.0001 * (index % 2) for index in range(20)}
    assert not list(far_out(Measure("mpp", "µm per px", crowd | {"other": 0.2530})))


def test_every_value_stands_in_one_bar():
    chart = histogram(Measure("patches", "patches", {str(value): float(value) for value in range(100)}))

    assert sum(bar.count for bar in chart.bars) == 100
    assert chart.summary == "100 slides, median 49.5, from 0 to 99"
    assert [bar.count for bar in histogram(Measure("mpp", "mpp", {"a": 0.5, "b": 0.5})).bars] == [2]


def test_slides_of_equal_embeddings_are_taken_for_one(cohort):
    slides = made_up(4).slides
    slides[3].embeddings[EMBEDDING][:] = slides[0].embeddings[EMBEDDING]  # type: ignore[index]

    page = make_page(Cohort((SLIDE,), slides), cohort.project, Path())

    assert page.odd == ("slide 0000", "slide 0003")
    assert page.cards[0].outliers[0].text == "embedding equal to that of slide 0003 (mean-efficientnet_lite0)"


class References(HTMLParser):
    """Collects what a page loads or links to, and its headings."""

    def __init__(self, text: str):
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.loaded += [values["src"]] if "src" in values else []
        (self.loaded if tag == "link" else self.links).extend([values["href"]] if "href" in values else [])
        self.ids += [values["id"]] if "id" in values else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []


def test_a_small_page_holds_its_pictures_and_a_large_one_links_them(cohort, tmp_path):
    picture = tmp_path / "output" / "thumbnails" / "a #1.jpg"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(JPEG)

    small = References(render_report(make_page(made_up(100, picture=picture), cohort.project, tmp_path / "output")))
    large = References(render_report(make_page(made_up(101, picture=picture), cohort.project, tmp_path / "output")))

    assert {it[:23] for it in small.loaded[1:]} == {"data:image/jpeg;base64,"}
    assert large.loaded[1:] == ["thumbnails/a%20%231.jpg"] * 101


def test_the_page_needs_nothing_beside_it_and_its_links_lead_somewhere(cohort):
    text = write_report(cohort).path.read_text()
    page = References(text)

    assert all(it.startswith("data:") for it in page.loaded)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "url(" not in text
    assert "@import" not in text
    assert len(set(page.ids)) == len(page.ids)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))


def test_names_are_text_and_never_markup(cohort):
    text = write_report(cohort).path.read_text()

    assert "<last>" not in text
    assert "third &amp; &lt;last&gt; #3" in text


def test_the_report_counts_and_has_a_small_picture(cohort):
    report = write_report(cohort, {TISSUE_MASK: {"second": "no tissue"}})

    assert report.numbers["slides"] == 4
    assert report.numbers["failed_slides"] == 1
    assert report.numbers["slides_in_map"] == 3
    assert report.numbers["patches"] == 4 + 4 + 2
    assert 0 < len(report.picture) <= 8192


def test_a_project_without_any_slide_has_a_page(tmp_path, cohort):
    slides = cohort.project.slides.model_copy(update={"folders": (tmp_path,)})

    report = write_report(
        make_recipe(cohort.project.model_copy(update={"output": tmp_path / "output", "slides": slides}))
    )

    assert report.numbers["slides"] == 0
    assert report.picture == b""
    assert "None is known." in report.path.read_text()


def test_the_command_writes_the_page_and_says_what_it_counts(cohort, tmp_path):
    project = tmp_path / "atlaspatch.toml"
    folders = f'folders = ["{cohort.project.slides.folders[0]}"]'
    project.write_text(f'output = "{cohort.project.output}"\n[slides]\n{folders}\n')

    result = CliRunner().invoke(cli, ["report", "--project", str(project), "--to", str(tmp_path / "page.html")])

    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{tmp_path / 'page.html'} written: 4 slides")


@pytest.mark.parametrize("place", ["file/page.html", f"{'long' * 62}.html"])
def test_a_page_that_cannot_be_written_is_one_sentence(cohort, tmp_path, place):
    (tmp_path / "file").write_text("")
    project = tmp_path / "atlaspatch.toml"
    folders = f'folders = ["{cohort.project.slides.folders[0]}"]'
    project.write_text(f'output = "{cohort.project.output}"\n[slides]\n{folders}\n')

    result = CliRunner().invoke(cli, ["report", "--project", str(project), "--to", str(tmp_path / place)])

    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "cannot be written (" in result.output


@pytest.fixture
def large_page(cohort, tmp_path) -> Path:
    path = tmp_path / "page.html"
    path.write_text(render_report(make_page(made_up(120), cohort.project, tmp_path)))
    return path


def contrast(one: str, other: str) -> float:
    """Return the contrast of two CSS colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_page_by_day_and_by_night(browser, cohort, tmp_path, scheme):
    report = write_report(cohort, {SLIDE: {"broken": "it is damaged"}}, tmp_path / "page.html")
    page = opened(browser, report.path, color_scheme=scheme)

    colour = "([pick, what]) => getComputedStyle(document.querySelector(pick))[what]"
    back, card = (page.evaluate(colour, [pick, "backgroundColor"]) for pick in ("body", ".gallery li"))
    texts = [("body", back), ("caption", back), ("nav a", back), ("dt", card), (".reasons .failed b", card)]
    assert (contrast(back, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    assert all(contrast(page.evaluate(colour, [pick, "color"]), behind) >= 4.5 for pick, behind in texts)
    if folder := os.environ.get("E2E_OUTPUT"):
        page.screenshot(path=Path(folder) / f"report_{scheme}.png", full_page=True)
    assert page.complaints == []


def test_the_map_is_one_stop_of_the_tab_key_and_arrows_walk_over_it(browser, large_page):
    page = opened(browser, large_page)
    focused = "document.activeElement.getAttribute('aria-label')"
    page.locator(".dot[tabindex='0']").focus()
    start = page.evaluate(focused)

    press(page, "Home")
    assert page.evaluate(focused) == "slide 0000"
    press(page, "End")
    assert page.evaluate(focused) == "slide 0119"
    seen = {page.evaluate(focused)}
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown") * 2:
        press(page, key)
        seen.add(page.evaluate(focused))
    assert len(seen) > 1
    assert page.locator(".peek h4").inner_text() == page.evaluate(focused)
    assert page.locator(".peek li").count() == 5
    assert page.locator(".dot[tabindex='0']").count() == 1

    press(page, "Enter")
    page.wait_for_function("document.activeElement.closest('.gallery') !== null")
    assert start == "slide 0000"
    assert page.complaints == []


def test_the_page_is_walked_through_with_the_tab_key_and_shows_where_one_is(browser, cohort, tmp_path):
    page = opened(browser, write_report(cohort, None, tmp_path / "page.html").path)

    press(page, "Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the slides"
    stops = []
    for _ in range(30):
        press(page, "Tab")
        stops.append(page.evaluate("(document.activeElement.id || document.activeElement.className.baseVal || '')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        dot = page.evaluate("document.activeElement.matches('.dot')")
        assert outline != "none" or dot or page.evaluate("document.activeElement === document.body")
    order = [stops.index(name) for name in ("name", "kind", "scanner", "sort")]
    assert order == sorted(order)
    assert sum("dot" in stop.split() for stop in stops) == 1


def test_slides_are_filtered_and_sorted_and_a_link_brings_a_hidden_one_back(browser, large_page):
    from playwright.sync_api import expect

    page = opened(browser, large_page)

    page.fill("#name", "slide 011")
    expect(page.locator("#count")).to_have_text("10 of 120 slides")
    expect(page.locator("tr[data-slide]:not([hidden])")).to_have_count(10)
    expect(page.locator(".dot:not(.dim)")).to_have_count(10)
    page.fill("#name", "")
    page.select_option("#sort", "tissue")
    expect(page.locator(".gallery > li h3").first).to_have_text("slide 0000")
    page.fill("#name", "0005")
    page.evaluate("location.hash = 'slide-7'")
    expect(page.locator("#slide-7")).to_be_visible()
    expect(page.locator("#name")).to_have_value("")
    page.get_by_role("button", name="slide", exact=True).first.click()
    page.get_by_role("button", name="slide", exact=True).first.click()
    expect(page.locator("table.sortable tbody th").first).to_have_text("slide 0119")
    assert page.complaints == []


def test_without_scripts_every_slide_is_there(browser, large_page):
    page = opened(browser, large_page, java_script_enabled=False)

    assert page.locator(".gallery > li").count() == 120
    assert not page.locator(".tools").is_visible()


def test_a_step_has_a_column_for_every_geometry(cohort, tmp_path):
    steps = (SLIDE, OutputKey("patch_coords", None, "10x"), OutputKey("patch_coords", None, "20x"))
    outputs = tuple(Validity("only", step, State.MISSING) for step in steps)

    text = render_report(make_page(Cohort(steps, (SlideSummary("only", outputs),)), cohort.project, tmp_path))

    assert "10x/patch_coords" in text
    assert "20x/patch_coords" in text
