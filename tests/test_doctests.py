"""The examples of every door run, on the bundled slide; what they show is what a reader gets who types them.

Names in an example are those that the doors export, and those of the fixtures ``names`` and ``changed``.
"""

import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from paths import ROOT

STUBS = (ROOT / "atlaspatch_core").rglob("__init__.pyi")
DOORS = sorted(
    {".".join(stub.parent.relative_to(ROOT).parts) for stub in STUBS} - {"atlaspatch_core", "atlaspatch_core.api"}
)
"""Of rooms; tests/core/api has the examples of the door of all, where some names mean something else."""
PROJECT = """
output = "out"
[slides]
folders = ["slides"]
[[geometry]]
patch_size = 256
target_mag = 20
precision = "float32"
patch_encoders = ["efficientnet_lite0"]
slide_encoders = ["mean-efficientnet_lite0"]
[patients]
encoders = ["mean-efficientnet_lite0"]
[runtime]
device = "cpu"
"""


ROOM_OF = {name: room for room in reversed(DOORS) for name in import_module(room).__all__}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder with the bundled slide, a project file and the results of a run, as the current directory."""
    folder = tmp_path_factory.mktemp("doors")
    slide = ROOT / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"
    (folder / "slides").mkdir()
    shutil.copy(slide, folder)
    shutil.copy(slide, folder / "slides")
    (folder / "atlaspatch.toml").write_text(PROJECT)
    (folder / "cases.csv").write_text("case_id,slide_path\npatient 1,slides/CMU-1-Small-Region.svs\n")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def exports() -> dict[str, Any]:
    return {name: getattr(import_module(room), name) for name, room in ROOM_OF.items()}


@pytest.fixture(scope="module")
def names(folder, exports) -> Iterator[dict[str, Any]]:
    """What examples may name: the exports, the bundled slide, and the project that was run on it."""
    project = exports["load_project"](Path("atlaspatch.toml"))
    recipe, sources = exports["make_recipe"](project), exports["find_slides"](project).sources
    assert all(outcome.status == "computed" for outcome in exports["process"](sources, recipe))
    assert all(exports["export_slides"](recipe, "trident", Path("trident")))
    with exports["open_slide"](sources[0].path) as slide:
        yield exports | {"Path": Path, "np": np, "recipe": recipe, "sources": sources, "slide": slide}


@pytest.fixture
def changed(names, folder) -> Any:
    """The recipe of a project that asks for another precision than a copy of the output has."""
    shutil.rmtree("changed", ignore_errors=True)
    shutil.copytree("out", "changed")
    project = names["recipe"].project
    half = project.geometry[0].model_copy(update={"precision": "float16"})
    changes = {"output": folder / "changed", "geometry": (half,)}
    return names["make_recipe"](project.model_copy(update=changes))


@pytest.mark.parametrize("name", ROOM_OF)
def test_the_example_of_a_door_shows_what_happens(name, exports, names, changed):
    door, said = exports[name], []
    for example in doctest.DocTestFinder().find(door, name) if isinstance(door, type | FunctionType) else ():
        example.globs = vars(import_module(door.__module__)) | names | {"changed": changed}
        doctest.DocTestRunner().run(example, out=said.append, clear_globs=False)
    assert not said, "".join(said)


def test_a_door_says_what_it_takes_and_gives_and_shows_an_example(exports):
    doors = {name: door for name, door in exports.items() if ROOM_OF[name].count(".") == 1}
    functions = {name: inspect.getdoc(door) or "" for name, door in doors.items() if isinstance(door, FunctionType)}
    for part in (r"^Args:\n", r"^(Returns|Yields):\n", r"^Example:\n", ">>> "):
        assert [name for name, text in functions.items() if not re.search(part, text, re.MULTILINE)] == []


def test_the_docs_process_a_project_from_python(names, folder, capsys):
    blocks = (ROOT / "docs" / "running.md").read_text(encoding="utf-8").split("```python\n")[1:]
    [example] = [block.partition("```")[0] for block in blocks if "process(" in block]
    exec(example, {})
    stem = "CMU-1-Small-Region"
    assert capsys.readouterr().out.splitlines() == [f"{stem} {stage.step} reused " for stage in names["recipe"].stages]


@pytest.mark.parametrize("page", ["README.md", "docs/files.md"])
def test_the_python_of_a_page_reads_what_a_run_wrote(page, names, folder):
    blocks = (ROOT / page).read_text(encoding="utf-8").split("```python\n")[1:]
    assert blocks
    for block in blocks:
        found: dict[str, Any] = {}
        exec(block.partition("```")[0], found)
        assert len(found["features"]) == len(found["coords"]) == 56


def test_opening_every_door_room_loads_nothing_heavy():
    script = (
        f"import {', '.join(DOORS)}, sys; print([name for name in ('torch', 'cv2', 'h5py') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def test_export_slides_can_still_be_imported_from_its_former_place(exports):
    assert import_module("atlaspatch_core.export").export_slides is exports["export_slides"]
