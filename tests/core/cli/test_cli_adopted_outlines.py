"""Outlines that ``adopt`` took over are the tool's, whatever runs next, until somebody saves others."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import foreign_folders as foreign
import pytest
from click.testing import CliRunner
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER
from prepared import PreparedFolder

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.operations.report.cohort import gather_cohort
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe

CUT = ("--patch-size", 256, "--target-mag", 20)
COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "status": lambda of: ["status", of / "out"],
    "audit": lambda of: ["audit", of / "out", "--project", of / "out" / "atlaspatch.toml"],
    "adopt": lambda of: ["adopt", of / "job", "-o", of / "out", "--slides", of / "slides"],
    "seg": lambda of: run(of, "seg"),
    "encode-slide": lambda of: [
        *("encode-slide", of / "slides", "-o", of / "out", *CUT, "--device", "cpu"),
        *("--patch-encoders", "tiny", "--feature-plugin", of / "tiny.py"),
    ],
}
MAKES_MASK = ("seg", "encode-slide")


def run(of: Path, task: str) -> list[object]:
    return ["run", "--wsi-dir", of / "slides", "--job-dir", of / "out", "--task", task, *CUT[:2], "--mag", 20]


def call(*words: object) -> str:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False).output


@pytest.fixture(scope="module")
def adopted(tmp_path_factory) -> PreparedFolder:
    def prepare(folder: Path) -> None:
        (folder / "slides").mkdir()
        paint_slide(folder / "slides" / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512), objective_power=20)
        (folder / "tiny.py").write_text(TINY_ENCODER)
        foreign.trident_outlines(folder / "job", "a", [(257, 257, 767, 767)])
        foreign.trident_coords(folder / "job", "a", foreign.lattice())
        taken = call("adopt", folder / "job", "-o", folder / "out", "--slides", folder / "slides")
        assert "outlines taken over" in taken, taken

    return PreparedFolder(tmp_path_factory.mktemp("adopted"), prepare)


def outlines(folder: Path) -> Path:
    return Store(folder / "out").geojson("a")


def move(folder: Path, x: int) -> None:
    """Save outlines with one point elsewhere, as an editor does that keeps everything else."""
    values = json.loads(outlines(folder).read_text())
    ring = values["features"][0]["geometry"]["coordinates"][0]
    ring[1][0] += x
    outlines(folder).write_text(json.dumps(values))


def maker_in_report(folder: Path) -> str:
    recipe = make_recipe(load_project(folder / "out" / "atlaspatch.toml"))
    (slide,) = gather_cohort(recipe).slides
    return slide.outlines_by


@pytest.mark.parametrize("names", [sorted(COMMANDS), sorted(COMMANDS, reverse=True)], ids=["forward", "backward"])
def test_adopted_outlines_are_the_tools_after_any_commands_until_they_are_edited(adopted, names):
    folder = adopted.put_back()
    before = outlines(folder).read_bytes()
    for name in [*names, "encode-slide"]:
        said = call(*COMMANDS[name](folder))
        assert "edited" not in said, (name, said)
        assert name not in MAKES_MASK or "TRIDENT's, taken as they are" in said, (name, said)
    assert "0 computed, 1 reused, 0 failed" in said
    assert outlines(folder).read_bytes() == before
    assert maker_in_report(folder) == "TRIDENT"
    move(folder, 40)
    assert maker_in_report(folder) == "a person"
    assert "edited by a person" in call(*COMMANDS["encode-slide"](folder))


def test_outlines_that_are_saved_without_a_change_stay_the_tools(adopted):
    folder = adopted.put_back()
    move(folder, 0)
    os.utime(outlines(folder), (1, 1))
    assert "TRIDENT's, taken as they are" in call(*COMMANDS["seg"](folder))
    move(folder, 40)
    assert "edited by a person" in call(*COMMANDS["seg"](folder))
    move(folder, -40)
    assert "TRIDENT's, taken as they are" in call(*COMMANDS["seg"](folder))


def test_outlines_of_trident_that_were_taken_once_are_edited_when_they_change(tmp_path):
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512), objective_power=20)
    path = foreign.trident_outlines(tmp_path / "out", "a")
    assert "TRIDENT's" in call(*run(tmp_path, "seg"))
    assert "TRIDENT's" in call(*run(tmp_path, "seg"))
    move(tmp_path, 40)
    assert b"EPSG::3857" in path.read_bytes()
    assert "edited by a person" in call(*run(tmp_path, "seg"))
