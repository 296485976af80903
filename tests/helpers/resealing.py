"""Stored files that a test changed and that are to pass as written so: what is odd in them is no bit rot."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from atlaspatch_core.storage.checksums import seal, seal_file
from atlaspatch_core.storage.hdf5 import datasets_of
from atlaspatch_core.storage.last_line import append_last_line, cut_last_line
from atlaspatch_core.storage.schema import ATTRIBUTES_SHA256


@contextmanager
def rewriting(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to change; it gets the checksums of what lies there then."""
    cut_last_line(path)
    with h5py.File(path, "r+") as file:
        yield file
        file.attrs.pop(ATTRIBUTES_SHA256, None)
        for item in datasets_of(file).values():
            seal(item)
        seal_file(file)
    append_last_line(path)


def rewrite_record(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a slide's record, and leave it as it was before there were checksums."""
    values = json.loads(path.read_bytes())
    change(values)
    for name in ("sha256", "outlines"):
        values.pop(name, None)
    path.write_text(json.dumps(values))
