"""Metadata of HDF5 files that carry no checksums: a changed byte of it may crash the library, not only its call.

Files that this package writes carry them: what is changed there is an error. Files of other tools, and those that it
wrote before it did so, are read by another process first.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py

from atlaspatch_core.isolation.leases import isolates, run_isolated
from atlaspatch_core.isolation.process import ProcessDied

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FIRST_SUPERBLOCK_WITH_CHECKSUMS = 2
"""https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, Disk Format Level 0A."""
SECONDS = 60.0
"""How long the metadata of one file may take; of a damaged one, the library may not come to an end."""
FILES_REMEMBERED = 4096


def check_metadata(path: Path) -> None:
    """Raise OSError for a file whose metadata crash the library of HDF5, or keep it busy for ever."""
    if not isolates() or has_checksums_of_metadata(path):
        return
    stat = path.stat()
    if death := _death(path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns):
        raise OSError(f"its metadata is damaged: what reads it is {death}")


def has_checksums_of_metadata(path: Path) -> bool:
    """Tell whether HDF5 itself finds what changed in the metadata of a file."""
    with path.open("rb") as file:
        start = file.read(len(SIGNATURE) + 1)
    return start.startswith(SIGNATURE) and start[-1] >= FIRST_SUPERBLOCK_WITH_CHECKSUMS


@lru_cache(FILES_REMEMBERED)
def _death(path: Path, *_version: int) -> str:
    """Return how the process ended that read the metadata of a file as it lies there; nothing where it did not."""
    try:
        run_isolated(read_metadata, os.fspath(path), seconds=SECONDS)
    except ProcessDied as death:
        return str(death)
    return ""


def read_metadata(path: str) -> None:
    """Read everything of a file but the values of its datasets; errors are of those who read it again."""

    def read(_name: str, item: Any) -> None:
        for attribute in item.attrs:
            item.attrs[attribute]
        if isinstance(item, h5py.Dataset) and item.chunks:
            item.id.chunk_iter(lambda _chunk: None)

    try:
        with h5py.File(path, locking=False) as file:
            read("/", file)
            file.visititems(read)
    except Exception:  # whatever h5py raises of damage: it is raised again where the file is read
        return
