"""What ``uv.lock`` says, through uv."""

import subprocess
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[1]


def run_uv(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run uv in a folder, on the Python that is there."""
    command = [find_uv_bin(), "--quiet", "--no-python-downloads", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def export(*words: str, folder: Path = ROOT) -> str:
    """Return what is locked, as ``uv export`` writes it.

    Raises RuntimeError where the lock does not fit pyproject.toml.
    """
    done = run_uv("export", "--locked", "--no-emit-project", *words, folder=folder)
    if done.returncode:
        raise RuntimeError(f"{done.stderr.strip()}\nRun `uv lock` after a change of dependencies.")
    return done.stdout
