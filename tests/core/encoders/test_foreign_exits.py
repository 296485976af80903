"""A plugin that would end the program, wherever its code is called: exit 2, with its file and line."""

import os
import signal
from pathlib import Path
from textwrap import indent

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples
from tracked_folders import paint

from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import ForeignExit
from atlaspatch_core.operations.tracking.signals import Terminated, termination_raises
from atlaspatch_core.plugins.foreign_code import is_foreign_exit, no_exit

ENDS = {
    "sys.exit(0)": "import sys; sys.exit(0)",
    "SystemExit": "raise SystemExit('bye')",
    "BaseException": "raise BaseException('odd')",
    "class": "raise type('Ends', (BaseException,), {})()",
    "GeneratorExit": "raise GeneratorExit()",
    "argparse": "import argparse; argparse.ArgumentParser().parse_args(['--no-such'])",
}
PLUGIN = """
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn

{top}

def network():
    import torch

{build}

    class MeanColour(torch.nn.Module):
        def forward(self, pixels):
{forward}
            return pixels.float().mean(dim=(2, 3))

    return MeanColour()

class Own(Built):
    def spec(self):
{spec}
        return {{"own": 1}}

def mean(network, features, coords, patch_size_level0):
{slide}
    return features.mean(axis=0)

def encoders():
{listed}
    yield PatchEncoder(name="own", architecture=Own(network), source=BuiltIn(), dim=3, transform=None, license="MIT")

PATCH_ENCODERS = encoders()
SLIDE_ENCODERS = [SlideEncoder(name="of-own", patch_encoder="own", dim=3, forward=mean, license="MIT")]
"""
PLACES = {"top": 0, "build": 4, "forward": 12, "spec": 8, "slide": 4, "listed": 4}
"""Where code of a plugin is called, and how far it is indented there."""


def plugin_that_ends(place: str, statement: str) -> tuple[str, int]:
    """Return the source of a plugin, and the line of the statement that would end the program."""
    marks = {name: indent("pass", " " * deep) for name, deep in PLACES.items()}
    text = PLUGIN.format(**{**marks, place: indent(statement, " " * PLACES[place])})
    return text, next(number for number, line in enumerate(text.splitlines(), 1) if statement in line)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint(tmp_path_factory.mktemp("slides") / "slides", "a")


@pytest.mark.e2e
@given(st.sampled_from(sorted(PLACES)), st.sampled_from(sorted(ENDS)))
@examples(12)
def test_a_plugin_that_would_end_the_program_is_wrong_usage(slides, place, end):
    text, line = plugin_that_ends(place, ENDS[end])
    plugin = slides.parent / "plugin.py"
    plugin.write_text(text)
    options = ["--patch-size", "256", "--target-mag", "20", "--device", "cpu", "--slide-encoders", "of-own", "--force"]
    words = [str(slides), "--output", str(slides.parent / "out"), "--feature-plugin", str(plugin), *options]
    result = CliRunner().invoke(cli, ["encode-slide", *words])
    assert result.exit_code == 2, result.output
    assert "would end the program" in result.output
    assert f"at {plugin}, line {line}" in result.output


def kill_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


@pytest.mark.quick
def test_what_somebody_asked_for_is_no_foreign_exit():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Dagster has it raise KeyboardInterrupt
    try:
        with termination_raises(), pytest.raises(Terminated) as terminated, no_exit("it"):
            kill_itself(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not is_foreign_exit(terminated.value)
    with pytest.raises(KeyboardInterrupt), no_exit("it"):
        raise KeyboardInterrupt


@pytest.mark.quick
def test_an_exit_by_a_handler_of_signals_is_let_through():
    def end(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(SystemExit), no_exit("it"):
            kill_itself(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.quick
def test_the_place_is_that_of_the_code_which_is_no_library():
    said = r"it would end the program \(SystemExit: 0\), at .*exits\.py, line \d+;"
    with pytest.raises(ForeignExit, match=said), no_exit("it"):
        raise SystemExit(0)
