"""Help: headings, examples, the width of the terminal, and options that do nothing."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner, Result

from atlaspatch_assets.cli.main import cli
from atlaspatch_core.cli.help import PANELS, SECTIONS

pytestmark = pytest.mark.quick

MAKING = ("encode-slide", "run", "encode-patient", "materialize")
"""Commands that make results."""
SHARED = """--allow-remote-code --mpp --mpp-csv --dry-run --quiet -q --verbose -v --log-file --json --strict --force
    --skip-existing --visualize-grids --no-visualize-grids --visualize-mask --visualize-contours --save-images
    --dump-patches --dump-patches-max --dump-patches-format --dump-patches-jpeg-quality"""
SHARED_BY_ENCODERS = """--output -o --job-dir --target-mag --mag --min-tissue --min-tissue-proportion --input-size
    --patch-encoder-img-size --feature-batch-size --feat-batch-size --patch-workers --max-workers --feature-precision
    --patch-encoder-ckpt-path --feature-plugin --downscale --segmenter --tissue-thresh"""


def all_commands(group: click.Group = cli, before: tuple[str, ...] = ()):
    """Yield the words of every command, and the command."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from all_commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = [pytest.param(words, command, id=" ".join(words)) for words, command in all_commands()]


def names_of(command: str) -> set[str]:
    return {name for param in cli.commands[command].params for name in (*param.opts, *param.secondary_opts)}


def help_of(*words: str, columns: int = 80) -> str:
    result: Result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=columns)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", MAKING)
def test_commands_that_make_results_share_names(command: str):
    wanted = {*SHARED.split(), *("" if command == "materialize" else SHARED_BY_ENCODERS).split()}
    assert wanted - names_of(command) == set()


def test_an_option_has_one_meaning_in_the_commands_that_share_it():
    for name in SHARED.split():
        texts = {
            param.help
            for command in MAKING
            for param in cli.commands[command].params
            if name in (*param.opts, *param.secondary_opts) and isinstance(param, click.Option)
        }
        assert len(texts) == 1, name


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_a_command_has_two_examples_of_options_that_it_has(words: tuple[str, ...], command: click.Command):
    examples = getattr(command, "examples", ())
    assert len(examples) >= 2
    for example in examples:
        program, *typed = shlex.split(example)
        assert (program, tuple(typed[: len(words)])) == ("atlaspatch", words)
        context = click.Context(command, resilient_parsing=True, token_normalize_func=None)
        command.make_parser(context).parse_args(typed[len(words) :])


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(("words", "command"), [*COMMANDS, pytest.param((), cli, id="all")])
def test_help_fits_the_terminal_and_has_no_colours(words: tuple[str, ...], command: click.Command, columns: int):
    text = help_of(*words, columns=columns)
    assert [line for line in text.splitlines() if len(line) > columns] == []
    assert "\x1b" not in text
    assert f"Examples:\n  atlaspatch {' '.join(words)}" in text or not words
    assert command.get_short_help_str() in help_of(*words[:-1], columns=100) or not words


def test_options_and_commands_stand_under_headings_in_their_order():
    headings = re.findall(r"^(\w[\w ]*):$", help_of("encode-slide"), re.MULTILINE)
    assert headings == ["Examples", *PANELS]
    headings = re.findall(r"^(\w[\w ]*):$", help_of(), re.MULTILINE)
    assert headings == ["Examples", "Options", *SECTIONS[:-1]]


def test_a_text_stands_under_its_name_where_there_is_no_room_beside_it():
    assert "  -o, --output PATH\n    Folder for all that is made. Also --job-dir." in help_of("run", columns=60)


def test_former_names_are_named_after_the_text():
    text = " ".join(help_of("encode-slide", columns=100).split())
    assert "--patch-encoders TEXT Patch encoders;" in text
    assert "Also --patch-encoder, --feature-extractors." in text


def test_what_does_nothing_is_not_in_the_help_and_says_so_once_where_it_is_used():
    assert not re.search(r"--(clear-dead-locks|dead-lock-max-age-hours|max-open-slides)", help_of("run"))
    result = CliRunner().invoke(cli, ["run", "--clear_dead_locks", "--wsi_dir", ".", "--overlap", "x"])
    (line,) = [line for line in result.stderr.splitlines() if "does nothing" in line]
    assert line.startswith("--clear-dead-locks does nothing and may be left out: locks ")
