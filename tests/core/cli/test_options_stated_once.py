"""An option is one field: file of a new project, page of options, help, bounds and jobs say what the field says."""

import re
from typing import Annotated

import click
import pytest
from click.testing import CliRunner

from atlaspatch_core.cli.fields import FieldOption, field_options
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.fields import TABLES, Table
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.template import project_text, toml
from atlaspatch_core.option import Option, OptionField, field_of, fields_of, option_fields
from website.options import OPTIONS, field_options_of, options_table

pytestmark = pytest.mark.quick

FIELDS = [
    pytest.param(table, field, id=f"{table.name}.{field.name}") for table in TABLES for field in fields_of(table.fields)
]
ANOTHER_MEANING = {("run", "segmenter")}
"""Commands and fields with a help of their own."""


def as_words(text: str) -> str:
    """Return a text whose lines may be broken anywhere."""
    return " ".join(re.sub(r"^# ", "", text, flags=re.MULTILINE).split())


def part_of(table: Table) -> str:
    """Return what a new project file has between the head of a table and the next."""
    blocks = re.split(r"^(?:# )?\[+([a-z.]+)\]+$", project_text(), flags=re.MULTILINE)
    return dict(zip(["", *blocks[1::2]], blocks[0::2], strict=True))[table.name]


def help_of(command: str) -> str:
    return as_words(CliRunner().invoke(cli, [command, "--help"], terminal_width=100_000).output)


def test_every_field_of_a_section_states_an_option():
    for table in TABLES[1:]:
        if table.name not in ("tissue", "quality", "geometry.filters"):
            hint = Project.model_fields[table.name].annotation
            section = hint.__args__[0] if table.name == "geometry" else hint  # type: ignore[union-attr]
            assert section.model_fields.keys() - {"filters"} == {it.name for it in fields_of(table.fields)}  # type: ignore[union-attr]
        else:
            assert {it.name for it in fields_of(table.fields)} == set(table.fields.__dataclass_fields__)


@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_a_field_stands_in_a_new_project_file_with_its_meaning(table: Table, field: OptionField):
    part = part_of(table)
    assert re.search(rf"^(# )?{field.name} = ", part, re.MULTILINE)
    assert as_words(field.option.help) in as_words(part)
    shown = field.default if field.option.example is None else field.option.example
    assert f"{field.name} = {toml(shown)}\n" in part


@pytest.mark.parametrize(("table", "field"), FIELDS)
def test_a_field_has_a_row_in_the_page_of_options(table: Table, field: OptionField):
    key = f"{table.name}.{field.name}".removeprefix(".")
    (row,) = [line for line in OPTIONS.text().splitlines() if line.startswith(f"| `{key}` |")]
    assert row in options_table()


def test_the_page_of_options_is_as_the_fields_are_now():
    assert OPTIONS.updated() == OPTIONS.text(), "run 'make options'"


@pytest.mark.parametrize(("table", "field"), [it for it in FIELDS if it.values[1].option.flags])
def test_a_field_with_names_is_an_option_of_a_command(table: Table, field: OptionField):
    assert list(field_options_of(table, field))


@pytest.mark.parametrize("command", ["encode-slide", "encode-patient", "run"])
def test_help_says_what_the_field_says_with_default_and_bounds(command: str):
    text = help_of(command)
    options = [it for it in cli.commands[command].params if isinstance(it, FieldOption)]
    assert len(options) > 20
    for option in options:
        if (command, option.field.name) not in ANOTHER_MEANING:
            assert as_words(option.field.option.help) in text, option.name
        if isinstance(option.default, str | int | float) and not option.is_flag:
            assert f"[default: {option.default}" in text, option.name
        if isinstance(option.type, click.IntRange | click.FloatRange):
            assert option.type._describe_range() in text


@pytest.mark.parametrize("command", ["encode-slide", "encode-patient"])
def test_defaults_of_options_are_those_of_the_fields(command: str):
    for option in (it for it in cli.commands[command].params if isinstance(it, FieldOption)):
        if option.field.default not in (None, ()) and not option.field.required:
            assert option.default == option.field.default, option.name


def test_one_field_makes_an_option_with_all_that_it_says():
    @option_fields
    class NewFields:
        """What a section would be with one more field."""

        grain_um: Annotated[float, Option("Size of a grain.", flags=("--grain-um",), gt=0)] = 3.5

    command = field_options(NewFields)(click.command("new")(lambda grain_um: click.echo(str(grain_um))))
    assert field_of(NewFields, "grain_um").option.bounds == "a number above 0"
    words = as_words(CliRunner().invoke(command, ["--help"]).output)
    assert "Size of a grain. [default: 3.5; x>0]" in words
    assert CliRunner().invoke(command, ["--grain-um", "0"]).exit_code == 2
    assert CliRunner().invoke(command, ["--grain-um", "2"]).output == "2.0\n"
