"""Small disks of memory, where this may be mounted: to be filled, and to be mounted read-only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int = 100) -> Iterator[Path]:
    """Mount a disk on a folder; skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("disks may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Mount a disk again, ``ro`` or ``rw``."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Fill a disk but for so many bytes; return the file that does it."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**20))
        except OSError:
            size = file.tell()
    with path.open("r+b") as file:
        file.truncate(max(0, size - left))
    return path
