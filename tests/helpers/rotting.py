"""Bytes of stored files that are others than were written, at the same time of the file."""

import os
from pathlib import Path

import h5py


def rot(path: Path, at: int, change: int = 1) -> None:
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[at] ^= change
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def rot_values(path: Path, dataset: str) -> None:
    """Flip a bit of the values of a dataset."""
    with h5py.File(path) as file:
        item: h5py.Dataset = file[dataset]  # type: ignore[assignment]
        at = item.id.get_offset() if item.chunks is None else item.id.get_chunk_info(0).byte_offset
    rot(path, at)
