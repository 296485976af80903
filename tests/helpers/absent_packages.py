"""Processes that cannot import some packages, though these are installed; nor can the processes that they start."""

import os
import subprocess
import sys
from pathlib import Path

from paths import ROOT

HIDDEN = "import sys; sys.modules.update(dict.fromkeys({names!r}))"
"""A module that is None there cannot be imported, nor can what is below it."""


def run_without(packages: tuple[str, ...], folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run Python with these words in ``folder``, where every new interpreter refuses to import the packages."""
    hidden = folder / "hidden"
    hidden.mkdir(exist_ok=True)
    (hidden / "sitecustomize.py").write_text(HIDDEN.format(names=packages))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(hidden), str(ROOT))), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
