"""Texts, numbers and paths of people: plain, or refused in a sentence."""

import json
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from project_files import project_text
from rounds import examples
from small_projects import paint

from atlaspatch_assets.cli.main import cli
from atlaspatch_core.config.project import load_project, make_project
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.texts import decode_text, is_there, parse_json, parse_number, parse_whole

pytestmark = pytest.mark.quick


def params(command: click.Command):
    for param in command.params:
        yield command, param
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from params(below)


NUMERIC = [
    pytest.param(param, id=f"{command.name} {param.name}")
    for command, param in params(cli)
    if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType | click.IntRange | click.FloatRange)
]


@pytest.mark.parametrize("param", NUMERIC)
def test_no_option_takes_underscores_between_digits(param: click.Parameter):
    with pytest.raises(click.BadParameter):
        param.type.convert("1_0", param, None)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(".,"))
@examples(200)
def test_numbers_are_read_as_they_are_written(number: float, point: str):
    assert parse_number(repr(number).replace(".", point)) == number


@given(st.text(alphabet="0123456789_.,eE+-x٣ naif", max_size=12))
@examples(300)
def test_what_is_not_written_in_plain_digits_is_no_number(text: str):
    for value in (parse_number(text), parse_whole(text)):
        assert value is None or set(text.strip()) <= set("0123456789.,eE+-")


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "inf", "nan", "1e400", "٣", "0x10", "", "1" * 5000])
def test_these_are_no_numbers(text: str):
    assert parse_number(text) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_project_file_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "p.toml").write_bytes(project_text(name="lab").encode(encoding))
    assert load_project(tmp_path / "p.toml").name == "lab"
    assert decode_text("ä".encode(encoding)) == "ä"


@pytest.mark.parametrize(
    "text",
    [
        f"output = {'1' * 5000}",
        f"output = {'[' * 5000}",
        f"output = {'{a = ' * 3000}",
        'output = "a"\noutput = "b"',
        'output = "a\\u0000b"',
        f'output = "{"a" * 300}"',
        f'[slides]\nfolders = ["{"a" * 300}/b"]',
        f"[[geometry]]\npatch_size = {'1' * 4000}",
        '[[geometry]]\npatch_size = "2_56"',
    ],
)
def test_a_project_that_cannot_be_is_one_sentence_with_its_file(tmp_path, text):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(InvalidProject) as caught:
        load_project(tmp_path / "p.toml")
    assert str(caught.value).startswith(f"{tmp_path / 'p.toml'}: ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text",
    ["", project_text(geometry='patch_encoders = ["none"]'), project_text(tables='[tissue]\nsegmenter = "none"')],
    ids=["empty", "encoder", "segmenter"],
)
def test_what_a_project_asks_for_in_vain_names_its_file(tmp_path, text):
    (tmp_path / "p.toml").write_text(text)
    result = CliRunner().invoke(cli, ["status", "--project", str(tmp_path / "p.toml")])
    assert result.exit_code == 2
    assert f"Error: {tmp_path / 'p.toml'}: " in result.output


@given(st.text(max_size=300) | st.text(alphabet="ab/", min_size=250, max_size=5000))
@examples(100)
def test_every_path_is_looked_at_or_refused(text: str):
    with suppress(InvalidProject):
        is_there(make_project({"output": text}, origin="text").output)


def test_json_that_is_nested_too_deeply_is_malformed():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)
    assert parse_json(json.dumps({"a": [1]})) == {"a": [1]}


@pytest.mark.parametrize("name", ["a\0.svs", "a\nb.svs", "a" * 300 + ".svs", "x" * 140_000])
@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("wsi", "run --task seg --wsi-dir slides --job-dir out --custom-list-of-wsis t.csv"),
        ("wsi,mpp", "run --task seg --wsi-dir slides --job-dir out --custom-list-of-wsis t.csv"),
        ("case_id,slide_path", "encode-patient t.csv --output out --patch-size 256 --target-mag 20"),
    ],
)
def test_names_in_tables_that_no_file_has_are_one_sentence(tmp_path, monkeypatch, name, head, words):
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "slides", "a")
    row = {"wsi": f'"{name}"', "wsi,mpp": f'"{name}",0.5', "case_id,slide_path": f'c,"{name}"'}[head]
    Path("t.csv").write_text(f"{head}\n{row}\n")
    encoders = ["--patient-encoders", "mean-efficientnet_lite0"] if "case_id" in head else []
    result = CliRunner().invoke(cli, [*words.split(), *encoders])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)
    assert "t.csv" in result.output
    assert "\0" not in result.output
    assert len(result.output) < 1000


@pytest.mark.parametrize(
    "values",
    [
        {"tissue": {"simplify_um": "1_0"}},
        {"quality": {"max_glass_share": "0.1_0"}},
        {"geometry": [{"patch_size": 256, "target_mag": 20, "filters": {"white_thresh": "1_0"}}]},
        {"runtime": {"threads": "1_0"}},
    ],
)
def test_a_number_with_an_underscore_is_none_in_any_section(values):
    with pytest.raises(InvalidProject, match="which is no number"):
        make_project(values, origin="a.toml")
