"""``import atlaspatch_core as ap``: names for notebooks and scripts, loaded when they are first used."""

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from types import FunctionType

import pandas as pd
import pytest

import atlaspatch_core as ap

FUNCTIONS = [name for name in dir(ap) if isinstance(getattr(ap.api, name, None), FunctionType)]


@pytest.mark.quick
def test_importing_the_door_loads_nothing_heavy():
    script = "import sys, atlaspatch_core as ap; dir(ap); print({'torch', 'cv2', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "set()"


def test_segmenting_and_placing_patches_loads_no_torch(bundled):
    script = """
import sys, atlaspatch_core as ap
slide = ap.open_slide("CMU-1-Small-Region.svs")
grid = ap.lay_grid(slide, ap.segment(slide), patch_size=1024, target_mag=20)
print(sum(1 for _ in ap.patches(slide, grid)) == len(grid), "torch" in sys.modules)
"""
    said = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=bundled)
    assert said.strip() == "True False"


def test_every_name_of_the_room_is_one_of_the_door():
    api = import_module("atlaspatch_core.api")
    others = {"api", "PatchEncoder", "PatchGrid", "Region", "SlideEncoder"}
    assert set(dir(ap)) == others | set(dir(api))
    assert [name for name in dir(api) if name != "patches" and getattr(ap, name) is not getattr(api, name)] == []


def test_patches_is_a_function_and_the_room_of_that_name(bundled):
    assert import_module("atlaspatch_core.patches").lay_grid
    slide = ap.open_slide("CMU-1-Small-Region.svs")
    grid = ap.lay_grid(slide, ap.segment(slide), patch_size=1024, target_mag=20)
    assert sorted(patch.row for patch in ap.patches(slide, grid)) == list(range(len(grid)))


@pytest.mark.e2e
@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("name", ap.api.__all__)
def test_the_example_of_a_name_shows_what_happens(name):
    said: list[str] = []
    for example in doctest.DocTestFinder().find(getattr(ap.api, name), name):
        example.globs = {"ap": ap, "pd": pd}
        doctest.DocTestRunner().run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_and_gives_and_shows_an_example(name):
    text = inspect.getdoc(getattr(ap.api, name)) or ""
    parts = (r"^Args:\n", r"^(Returns|Yields):\n", r"^Raises:\n", ">>> ")
    missing = [part for part in parts if not re.search(part, text, re.MULTILINE)]
    assert missing == []
