"""The plugin files that docs/extending.md shows, written where a test wants them."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from paths import ROOT
from plugins import TINY_ENCODER, plugin_file
from shown_code import files

from atlaspatch_core.cli.main import cli

PAGE = ROOT / "docs" / "extending.md"


def write_extension(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """Return a file of the page, with some of its text replaced: each text occurs in it."""
    text = files(PAGE)[name]
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def line_of(plugin: Path, code: str) -> int:
    """Return in which line of a plugin some code stands, from 1 on."""
    return next(number for number, line in enumerate(plugin.read_text().splitlines(), 1) if code in line)


def encode_with(plugin: Path, folder: Path, *words: str) -> Result:
    """Return what encoding ``slides`` of a folder into ``out`` gives, with a plugin and the encoder tiny."""
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--patch-encoders", "tiny"]
    where = [str(folder / "slides"), "--output", str(folder / "out")]
    plugins = ["--feature-plugin", str(plugin_file(TINY_ENCODER)), "--feature-plugin", str(plugin)]
    return CliRunner().invoke(cli, ["encode-slide", *where, *plugins, *options, *words])


def states(folder: Path, output: str) -> dict[str, str]:
    """Return slides and the state of one of their outputs, as status tells it, which executes no plugin."""
    result = CliRunner().invoke(cli, ["status", str(folder / "out"), "--json"])
    return {row["slide"]: row["state"] for row in json.loads(result.stdout) if row["output"] == output}
