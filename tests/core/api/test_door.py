"""``import atlaspatch_core as ap``: names for notebooks and scripts, loaded when they are first used."""

import subprocess
import sys
from importlib import import_module

import pytest

import atlaspatch_core as ap


@pytest.mark.quick
def test_importing_the_door_loads_nothing_heavy():
    script = "import sys, atlaspatch_core as ap; dir(ap); print({'torch', 'cv2', 'pandas', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "set()"


def test_every_name_of_the_door_is_one_of_its_room():
    api = import_module("atlaspatch_core.api")
    assert set(dir(ap)) == {"api", *dir(api)}
    assert [name for name in dir(api) if getattr(ap, name) is not getattr(api, name)] == []
