"""What we write for spreadsheets and for people executes nothing, and is read back as it was."""

import ast
import csv
import io
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from rounds import examples
from small_projects import paint

from atlaspatch_assets.cli.main import cli
from atlaspatch_core.discovery.usable_names import name_fault
from atlaspatch_core.operations.tracking.summary import plain
from atlaspatch_core.tables import FORMULA, cell_text, read_columns, write_table

pytestmark = pytest.mark.quick

TEXTS = st.text(alphabet="=+-@'\t a1,;\"<>", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
@examples(150)
def test_no_cell_that_we_write_is_a_formula_and_it_is_read_back(tmp_path_factory, rows):
    text = write_table([("head", "tail"), *rows])
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert [
        cell for cell in cells if cell.startswith(FORMULA) and not cell.lstrip("+-").replace(".", "").isdigit()
    ] == []
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_text(text)
    assert [tuple(row) for row in read_columns(path, ValueError)[1]] == rows


def test_numbers_stay_numbers():
    assert write_table([(-0.5, "-0.5", "+1e3", "-0.5 =x")]) == "-0.5,-0.5,+1e3,'-0.5 =x\n"
    assert cell_text("'quoted'") == "'quoted'"


def test_tables_are_written_in_one_place():
    for path in (ROOT / "atlaspatch_core").rglob("*.py"), (ROOT / "atlaspatch_assets").rglob("*.py"):
        for module in path:
            names = {
                f"{node.value.id}.{node.attr}"
                for node in ast.walk(ast.parse(module.read_text()))
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            }
            assert module.name == "tables.py" or not names & {"csv.writer", "csv.DictWriter"}, module


@pytest.mark.parametrize("words", ["status out --csv", "audit out --csv"])
def test_a_slide_that_is_called_as_a_formula_is_none_in_a_table(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "slides", "=1+1", "b")
    made = CliRunner().invoke(
        cli, ["run", "--task", "coords", "--segmenter", "otsu", "--wsi-dir", "slides", "--job-dir", "out"]
    )
    assert made.exit_code == 0, made.output
    Path("out/slides/=1+1.json").write_text("damaged")
    result = CliRunner().invoke(cli, words.split())
    assert "'=1+1" in result.stdout
    assert not [row for row in csv.reader(io.StringIO(result.stdout)) for cell in row if cell.startswith("=")]


def test_markdown_shows_names_and_begins_nothing():
    assert plain("a_b*c 5 < 6") == "a_b*c 5 &lt; 6"
    assert plain("<img src=x onerror=1>![x](http://y)`z`\\") == (
        "&lt;img src=x onerror=1&gt;!\\[x\\](http://y)\\`z\\`\\\\"
    )


@pytest.mark.parametrize("name", ["...svs", "..svs"])
def test_a_name_that_leads_out_of_the_results_is_left_out(tmp_path, name):
    fault = name_fault(name.removesuffix(".svs"), tmp_path / name)
    assert "leads out of the folders of results; rename it" in fault
