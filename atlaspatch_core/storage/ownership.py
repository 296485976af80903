"""Whose a file is that lies where ours is to be written: what others wrote is never replaced."""

from pathlib import Path

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.storage.checksums import damaged_output, has_checksums
from atlaspatch_core.storage.hdf5 import identity_of, open_hdf5
from atlaspatch_core.storage.schema import ATLASPATCH_VERSION

MARKED_BYTES = 2**20
"""The name of our attribute stands in the first kB of a file; more is read of files with many attributes."""


def check_replaceable(path: Path, name: str, *, is_known: bool) -> None:
    """Raise UnreadableOutput where a file lies at ``path`` that others wrote; OutputInUse where it cannot be told.

    A whole file is ours if it has our checksums, or its dataset ``name`` says what decided it. A damaged one is ours if
    our attributes stand in its bytes, or if it ``is_known`` that we wrote a file there: of one that was cut short
    nothing may be left.
    """
    if not path.exists():
        return
    try:
        with open_hdf5(path) as file:
            is_own = has_checksums(file) or (name in file and identity_of(file[name]) is not None)  # type: ignore[arg-type]
    except OutputInUse:
        raise
    except UnreadableOutput:
        is_own = is_known or _has_own_names(path)
    if not is_own:
        raise foreign_output(path)


def unusable_output(path: Path) -> UnreadableOutput:
    """Return what to say of a file that can be opened and does not say what it is: damaged, or one of others."""
    with open_hdf5(path) as file:
        is_own = has_checksums(file)
    return damaged_output(path, "the file", "does not say any more what it holds") if is_own else foreign_output(path)


def foreign_output(path: Path) -> UnreadableOutput:
    """Return what to say of a file that others wrote."""
    return UnreadableOutput(
        f"{path.stem}: {path} was not written by atlaspatch, and is not replaced, whatever is asked for; "
        f"move it away and run again"
    )


def _has_own_names(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return ATLASPATCH_VERSION.encode() in file.read(MARKED_BYTES)
    except OSError:
        return False
