"""Ways in which a slide becomes another one under somebody who reads it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def _move(new: Path, path: Path) -> None:
    shutil.copyfile(new, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _move_unseen(new: Path, path: Path) -> None:
    """Put a file of the same times in its place, as ``cp -p`` and ``mv`` of a prepared one do."""
    state = path.stat()
    shutil.copyfile(new, path.with_suffix(".part"))
    os.utime(path.with_suffix(".part"), ns=(state.st_atime_ns, state.st_mtime_ns))
    path.with_suffix(".part").replace(path)


def _copy_over(new: Path, path: Path) -> None:
    path.write_bytes(new.read_bytes())


def _copy_over_unseen(new: Path, path: Path) -> None:
    state = path.stat()
    path.write_bytes(new.read_bytes())
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _copy_half(new: Path, path: Path) -> None:
    """Be a copy that is still under way."""
    content = new.read_bytes()
    path.write_bytes(content[: len(content) // 2])


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "move": _move,
    "move of the same times": _move_unseen,
    "copy over it": _copy_over,
    "copy over it of the same times": _copy_over_unseen,
    "half a copy": _copy_half,
}
"""What it is called, and how a new file takes the place of a slide."""
