"""What the tests of the door share: the bundled slide in a folder that is the current one, and the door as ``ap``."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

import atlaspatch_core as ap

CMU = ROOT / "atlaspatch_core" / "data" / "CMU-1-Small-Region.svs"


@pytest.fixture(scope="module")
def bundled(tmp_path_factory) -> Iterator[Path]:
    """A folder with the bundled slide, as the current directory."""
    folder, before = tmp_path_factory.mktemp("door"), Path.cwd()
    shutil.copy(CMU, folder)
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def made(bundled: Path) -> Path:
    """The same with the folder ``out``, which was made of the slide."""
    options = {"patch_size": 256, "target_mag": 20, "slide_encoders": "mean-efficientnet_lite0", "device": "cpu"}
    ap.process("CMU-1-Small-Region.svs", "out", **options)
    return bundled
