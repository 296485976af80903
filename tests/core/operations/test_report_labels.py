"""The map of embeddings coloured by a table of labels: groups, what is refused, and the page in a real browser."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browsing import opened, press
from click.testing import CliRunner
from cohorts import encode_cohort
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.errors import InvalidLabels
from atlaspatch_core.operations.label_tables import LabelSource
from atlaspatch_core.operations.report.colours import MOST_CATEGORIES, MOST_STEPS, by_column, round_edges
from atlaspatch_core.operations.report.labels import MOST_COLUMNS, MapLabels, SlideLabels, read_labels
from atlaspatch_core.operations.report.page import make_page, render_report
from atlaspatch_core.operations.report.values import Cohort, SlideSummary
from atlaspatch_core.validity.recipe import SLIDE
from atlaspatch_core.validity.states import State, Validity

STEMS = tuple(f"s{number}" for number in range(12))


def read(stems=STEMS, columns=(), **table) -> SlideLabels:
    return read_labels(MapLabels(LabelSource(pd.DataFrame(table)), columns), stems)


def legend(labels: SlideLabels, stems=STEMS) -> list[tuple[str, int]]:
    """Return what the legend of the first column says."""
    lines = by_column(labels.columns[0], stems).legend(stems)
    return [(line.group.label, line.count) for line in lines]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return encode_cohort(tmp_path_factory.mktemp("cohort"))


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["report", *map(str, words)])
    return result.exit_code, result.output


def test_values_have_a_line_each_and_slides_without_one_are_said_to_have_none():
    labels = read(slide_id=["s0.svs", "s1", "s2", "s3", "x"], site=["lung", "colon", "lung", None, "lung"])

    assert legend(labels) == [("colon", 1), ("lung", 2), ("no label", 9)]
    assert labels.of_slide("s3") == {"site": ""}
    assert labels.without == STEMS[4:]
    assert labels.unmatched == ("x",)
    assert "8 without a row in the table of labels (s4, s5, s6, s7, s8 and 3 more)" in labels.sentence()
    assert "1 in the table of labels alone (x)" in labels.sentence()


def test_rare_values_share_a_colour():
    stems = [f"s{number}" for number in range(40)]
    sites = [f"site {number if number < 25 else number % 9:02}" for number in range(40)]

    lines = legend(read(stems, stem=stems, site=sites), stems)

    assert [label for label, _ in lines[:9]] == [f"site {number:02}" for number in range(9)]
    assert len(lines) == MOST_CATEGORIES + 1
    assert lines[-1] == ("15 other values", 15)


def test_few_whole_numbers_are_values_and_others_steps():
    grades = read(stem=STEMS, grade=[10, 2, 3, 1] * 3)
    ages = read(stem=STEMS, age=[*np.linspace(41, 79, 10), np.nan, np.inf])
    alike = read(stem=STEMS, share=[0.25] * 12)

    assert legend(grades) == [("1", 3), ("2", 3), ("3", 3), ("10", 3)]
    assert [label for label, _ in legend(ages)] == [f"{low} to {low + 5}" for low in range(40, 80, 5)] + ["no label"]
    assert legend(ages)[-1] == ("no label", 2)
    assert legend(alike) == [("0.25", 12)]


@given(
    low=st.floats(-1e12, 1e12), more=st.floats(1e-3, 1e12), inside=st.lists(st.floats(0, 1), min_size=1, max_size=11)
)
@examples(50)
def test_a_number_stands_in_the_step_that_names_it(low, more, inside):
    values = [low, low + more, *(low + more * share for share in inside)]
    stems = STEMS[: len(values)]

    edges = round_edges(min(values), max(values))
    column = read(stems, stem=stems[: len(values)], v=values[: len(stems)]).columns[0]
    colouring = by_column(column, stems)

    assert edges == sorted(set(edges))
    assert len(edges) <= MOST_STEPS + 1
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1]
    assert set(colouring.group_of) == set(stems)
    assert all(0 <= place < len(colouring.groups) - 1 for place in colouring.group_of.values())


def test_a_cell_that_says_na_has_no_label(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("stem,age\ns0,61.5\ns1,NA\ns2,n/a\ns3,70.25\n")

    labels = read_labels(MapLabels(LabelSource(path)), STEMS)

    assert labels.columns[0].numbers == {"s0": 61.5, "s3": 70.25}


def test_columns_that_name_slides_and_cases_are_shown_only_where_they_are_named():
    table = {"patient_id": ["p"] * 12, "stem": STEMS, **{f"c{number}": range(12) for number in range(40)}}

    usual, named = read(**table), read(columns=("patient_id", "c39", "patient_id"), **table)

    assert [column.name for column in usual.columns] == [f"c{number}" for number in range(MOST_COLUMNS)]
    assert usual.more_columns == 10
    assert ([column.name for column in named.columns], named.more_columns) == (["patient_id", "c39"], 0)


def test_a_table_of_other_slides_is_refused():
    with pytest.raises(InvalidLabels, match="no row of column stem names a slide, rows name x, and there are s0, s1"):
        read(stem=["x"], site=["lung"])


@pytest.mark.parametrize("as_project", [False, True])
def test_the_command_takes_a_project_or_a_folder(output, tmp_path, as_project):
    labels, page = tmp_path / "labels.csv", tmp_path / "page.html"
    labels.write_text('slide;"tumour <grade>";age\na.svs;"<script>x</script>";61\nb;&;70\nother;x;1\n')
    where = [output]
    if as_project:
        (tmp_path / "atlaspatch.toml").write_text(
            f'output = "{output}"\n[slides]\nfolders = ["{output.parent / "slides"}"]\n'
            '[[geometry]]\npatch_size = 256\ntarget_mag = 20\npatch_encoders = ["efficientnet_lite0"]\n'
        )
        where = ["--project", tmp_path / "atlaspatch.toml"]

    code, words = run(*where, "--to", page, "--labels", labels, "--color-by", "tumour <grade>")

    assert code == 0, words
    assert "labels: 3 without a row in labels.csv (c, d, none); 1 in labels.csv alone (other)" in words
    text = page.read_text()
    assert "<script>x" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "<dt>age</dt>" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--color-by", "stage"], "there is no column stage, there are who, grade; give one of these as --color-by"),
        (["--labels-on", "slide"], "there is no column slide, there are who, grade; give one of these as --labels-on"),
        ([], "no column is called stem, slide_id or case_id, there are who, grade; give it as --labels-on"),
    ],
)
def test_a_column_that_is_not_there_is_one_sentence(output, tmp_path, options, words):
    labels, page = tmp_path / "labels.csv", tmp_path / "pages" / "page.html"
    labels.write_text("who,grade\na,1\n")
    given_on = [] if options[:1] != ["--color-by"] else ["--labels-on", "who"]

    code, said = run(output, "--to", page, "--labels", labels, *options, *given_on)

    assert code == 2
    assert said.splitlines()[-1].endswith(words)
    assert not page.parent.exists()


def test_columns_without_a_table_are_refused(output):
    assert run(output, "--color-by", "grade")[0] == 2


@pytest.fixture
def page_of_labels(tmp_path) -> Path:
    """Forty slides: x grows, every fourth has no grade, ages are numbers."""
    stems = [f"slide {number:02}" for number in range(40)]
    slides = [
        SlideSummary(stem, (Validity(stem, SLIDE, State.FRESH),), embeddings={"slide_embedding/mean": vector})
        for stem, vector in zip(stems, np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), strict=True)
    ]
    grades = [None if number % 4 == 3 else ("<i>low</i>", "mid", "high")[number % 4] for number in range(40)]
    table = {"stem": stems, "grade": grades, "age": np.linspace(40.5, 79.5, 40)}
    project = make_project({"output": tmp_path, "slides": {"folders": [tmp_path]}}, origin="test")
    page = make_page(Cohort((SLIDE,), tuple(slides)), project, tmp_path, read(stems, **table))
    (tmp_path / "page.html").write_text(render_report(page))
    return tmp_path / "page.html"


def test_pointing_at_a_dot_names_its_slide_and_label_and_a_click_goes_there(browser, page_of_labels):
    from playwright.sync_api import expect

    page = opened(browser, page_of_labels)
    dot = page.locator(".dot[data-slide='4']")

    dot.hover(force=True)
    expect(page.locator(".tip b")).to_have_text("slide 04")
    expect(page.locator(".tip span")).to_have_text("grade: <i>low</i>")
    expect(page.locator(".peek .labels dd")).to_have_text(["<i>low</i>", "44.5"])
    page.locator(".dot[data-slide='3']").hover(force=True)
    expect(page.locator(".tip span")).to_have_text("grade: no label")
    page.select_option("#colour", label="age")
    dot.hover(force=True)
    expect(page.locator(".tip span")).to_have_text("age: 44.5")
    dot.click(force=True)
    page.wait_for_function("document.activeElement.id === 'slide-4'")
    expect(page.locator("#slide-4 .labels dd").first).to_have_text("<i>low</i>")
    assert page.complaints == []


def test_a_pointer_near_a_dot_is_at_it(browser, page_of_labels):
    from playwright.sync_api import expect

    page = opened(browser, page_of_labels)
    page.locator(".map svg").scroll_into_view_if_needed()
    lone = page.evaluate(
        """() => {
          const at = [...document.querySelectorAll(".dot")].map((dot) => {
            const box = dot.getBoundingClientRect();
            return { name: dot.getAttribute("aria-label"), x: box.x + box.width / 2, y: box.y + box.height / 2 };
          });
          return at.find((a) => at.every((b) => a === b || Math.hypot(a.x - b.x, a.y - b.y) > 40));
        }"""
    )

    page.mouse.move(lone["x"] + 10, lone["y"])
    expect(page.locator(".tip b")).to_have_text(lone["name"])
    page.mouse.move(lone["x"] + 20, lone["y"])
    expect(page.locator(".tip")).to_be_hidden()
    page.mouse.click(lone["x"] + 10, lone["y"])
    page.wait_for_function("document.activeElement.closest('.gallery') !== null")
    assert page.evaluate("document.activeElement.dataset.name") == lone["name"]
    assert page.complaints == []


def test_the_legend_follows_the_column_and_leaves_one_value_in_colour(browser, page_of_labels):
    from playwright.sync_api import expect

    page = opened(browser, page_of_labels)
    lines = page.locator(".legend:not([hidden]) button")

    expect(lines).to_have_text(["<i>low</i> 10", "high 10", "mid 10", "no label 10"])
    lines.nth(1).click()
    expect(page.locator(".dot:not(.other)")).to_have_count(10)
    expect(lines.nth(1)).to_have_attribute("aria-pressed", "true")
    lines.nth(1).focus()
    press(page, "Enter")
    expect(page.locator(".dot.other")).to_have_count(0)
    fill = "getComputedStyle(document.querySelector(\".dot[data-slide='0'] circle\")).fill"
    before = page.evaluate(fill)
    page.select_option("#colour", label="age")
    expect(lines).to_have_count(8)
    assert page.evaluate(fill) != before
    page.select_option("#colour", label="what there is to look at")
    expect(lines).to_have_text(["unlike the others 2", "nothing to look at 38"])
    assert page.complaints == []


def test_without_scripts_the_first_column_has_colours_and_a_legend(browser, page_of_labels):
    page = opened(browser, page_of_labels, java_script_enabled=False)

    assert page.locator(".legend:visible").count() == 1
    assert page.locator(".dot[data-style=none]").count() == 10
    assert not page.locator("#colour").is_visible()


def test_a_row_of_a_case_is_that_of_its_slides(tmp_path, output):
    copy = shutil.copytree(output, tmp_path / "out")
    slides = output.parent / "slides"
    lines = [f"{case},{slides / stem}.svs" for stem, case in zip("abcd", "ppqq", strict=True)]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,slide_path", *lines]))
    (tmp_path / "labels.csv").write_text("patient,grade\np,1\nq,2\n")
    (tmp_path / "atlaspatch.toml").write_text(
        f'output = "out"\n[slides]\nfolders = ["{slides}"]\n[patients]\nmanifest = "cases.csv"\n'
        '[[geometry]]\npatch_size = 256\ntarget_mag = 20\npatch_encoders = ["efficientnet_lite0"]\n'
    )

    code, words = run(
        "--project", tmp_path / "atlaspatch.toml", "--to", tmp_path / "page.html", "--labels", tmp_path / "labels.csv"
    )

    assert (code, copy.is_dir()) == (0, True), words
    assert "labels: 1 without a row in labels.csv (none)" in words
