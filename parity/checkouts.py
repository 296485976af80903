"""Checkouts of tools that no package index has."""

import shutil
import subprocess
from pathlib import Path

from parity.running import BUILD


def check_program(tool: str, checkout: Path, program: str) -> None:
    """Raise NotADirectoryError, in a sentence, where a folder has not the program of a tool."""
    if not (checkout / program).is_file():
        message = f"{checkout}: no checkout of {tool}, for it has no {program}; name the folder that git cloned"
        raise NotADirectoryError(message)


def copy_checkout(checkout: Path, name: str) -> Path:
    """Return a copy of a checkout, into which an installation may write."""
    copy = BUILD / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".venv", "*.egg-info", "build"))
    return copy


def describe_version(checkout: Path) -> str:
    """Return the tag and commit of a checkout, or that git knows none."""
    words = ["git", "-C", str(checkout), "describe", "--always", "--tags", "--dirty"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    return ended.stdout.strip() or "unknown"
