"""Whether an output folder takes what is written to it: where it does not, no slide is to blame."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from atlaspatch_core.errors import UnusableOutput
from atlaspatch_core.storage.paths import OutputPaths

LEAST_FREE_MB = 64
"""A disk with less counts as full: the next result would not fit."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_writable(output: Path, geometries: Sequence[str] = ()) -> None:
    """Raise UnusableOutput where nothing can be written to an output folder, or to a folder of results in it."""
    if fault := write_fault(output, geometries):
        raise UnusableOutput(fault)


def write_fault(output: Path, geometries: Sequence[str] = ()) -> str | None:
    """Return why nothing can be written to an output folder, in a sentence with the cure; None where it can.

    A small file is written to each folder of it and taken away. An output that is not there yet is not made: it can be
    where the folder that it would lie in can be written to.
    """
    try:
        if not output.exists():
            return _fault_of_parent(output)
        for folder in [output, *filter(os.path.lexists, OutputPaths(output).folders(geometries))]:
            _try_writing(folder)
        free = shutil.disk_usage(output).free / 1e6
    except OSError as error:
        place = error.filename or output
        return (
            f"{Path(place).parent if _is_trial(place) else place} cannot be written ({error.strerror}); {_cure(error)}"
        )
    if free < LEAST_FREE_MB:
        return f"{output}: its disk is full ({free:.0f} MB free, at least {LEAST_FREE_MB} are needed); free space there"
    return None


def _try_writing(folder: Path) -> None:
    """Write a file to a folder and take it away. Raises OSError that names it."""
    trial = folder / f".trial.{uuid4().hex}.tmp"  # as half-written files are called, so that a killed one is swept
    try:
        trial.write_bytes(bytes(4096))
    finally:
        trial.unlink(missing_ok=True)


def _is_trial(place: object) -> bool:
    return Path(str(place)).name.startswith(".trial.")


def _fault_of_parent(output: Path) -> str | None:
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return None
    return f"{output} cannot be made in {parent}; mount its disk, give write permission, or choose another output"


def _cure(error: OSError) -> str:
    if error.errno in FULL:
        return "free space there"
    if error.errno == errno.EROFS:
        return "mount it writable"
    if isinstance(error, PermissionError):
        return "give write permission, or choose another output"
    return "see that its disk is there and mounted"
