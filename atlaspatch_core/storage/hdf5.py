"""How values look in a slide's HDF5 file, and how they are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5o  # type: ignore[attr-defined]
from numpy.typing import NDArray

from atlaspatch_core.errors import OutOfDate, UnreadableOutput
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.checksums import read_checked
from atlaspatch_core.storage.disk import open_file
from atlaspatch_core.storage.schema import COORDS, FEATURES, FINGERPRINT, INPUTS, RECIPE, SLIDE_FEATURES
from atlaspatch_core.texts import parse_json

DAMAGED = (OSError, RuntimeError, LookupError, ValueError, TypeError)
"""What h5py raises of damaged files, and what our attributes raise that are no JSON any more."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One result as it lies in a file."""

    path: Path
    name: str
    fingerprint: str | None
    """None when it was not written by atlaspatch."""
    shape: tuple[int, ...]

    @property
    def identity(self) -> Identity | None:
        """Read what decided the result; the fingerprint alone tells whether it is valid, and is read at once."""
        with open_hdf5(self.path) as file:
            return identity_of(file[self.name])  # type: ignore[arg-type]


def read_stored_results(path: Path) -> dict[str, StoredResult]:
    """Return the coords, features and embeddings that a slide's file holds, by dataset path; empty without a file.

    Every look at a finished slide comes here: so by handles, which takes two thirds of the time of h5py's objects.
    Raises UnreadableOutput when the file is no HDF5 file.
    """
    if not path.exists():
        return {}
    with open_hdf5(path) as file:
        items = {name: h5o.open(file.id, name.encode()) for name in _results(file)}
        return {
            name: StoredResult(path, name, _stored_text(item, FINGERPRINT.encode()), item.shape)
            for name, item in items.items()
            if isinstance(item, h5d.DatasetID)
        }


def read_array(path: Path, name: str, fingerprint: str | None = None) -> NDArray:
    """Return one whole dataset, by default whatever its fingerprint.

    Raises UnreadableOutput when it is not there or cannot be read, DamagedOutput when it is not what was written,
    OutOfDate when it has another fingerprint.
    """
    with open_hdf5(path) as file:
        if name not in file:
            raise UnreadableOutput(f"{path.stem}: {path} has no dataset {name!r}; run the step that makes it again")
        if fingerprint is not None and fingerprint_of(file[name]) != fingerprint:  # type: ignore[arg-type]
            raise OutOfDate(f"{path.stem}: {name} in {path} was replaced meanwhile; run again")
        return read_checked(file[name], path)  # type: ignore[arg-type]


def read_attributes(path: Path, name: str = "/") -> dict[str, Any]:
    """Return the attributes of a dataset, or of the file; numbers as Python has them.

    Those of the file come with ``datasets``: the names of all that lies at its top. Raises UnreadableOutput.
    """
    with open_hdf5(path) as file:
        if name not in file:
            raise UnreadableOutput(f"{path.stem}: {path} has no dataset {name!r}; run the step that makes it again")
        values = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in file[name].attrs.items()
        }
        return values | ({"datasets": tuple(file)} if name == "/" else {})


def stored_fingerprint(path: Path, name: str) -> str | None:
    """Return the fingerprint of one dataset; None where it has none, or is not there. Raises UnreadableOutput."""
    with open_hdf5(path) as file:
        return fingerprint_of(file[name]) if name in file else None  # type: ignore[arg-type]


def read_rows(path: Path, name: str, rows: Sequence[int]) -> NDArray:
    """Return some rows of a dataset, in ascending order. Raises UnreadableOutput when they cannot be read."""
    with open_hdf5(path) as file:
        if name not in file or len(file[name]) <= max(rows, default=-1):  # type: ignore[arg-type]
            raise UnreadableOutput(
                f"{path.stem}: {path} has no such rows of {name!r}; run the step that makes it again"
            )
        return file[name][list(rows)]  # type: ignore[index]


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Give the file to read.

    Raises UnreadableOutput when it is no HDF5 file, or found to be damaged while it is read; one that another program
    has locked is OutputInUse.
    """
    try:
        with open_file(path) as file:
            yield file
    except DAMAGED as error:
        raise UnreadableOutput(
            f"{path.stem}: {path} cannot be read as HDF5 ({error}); move it away and run again, or, if atlaspatch "
            f"wrote it, use --force to replace it"
        ) from error


def _results(file: h5py.File) -> Iterator[str]:
    """Yield the paths of the coords, features and embeddings."""
    exists = file.id.links.exists
    yield from (COORDS,) if exists(COORDS.encode()) else ()
    for folder in (FEATURES, SLIDE_FEATURES):
        group: Any = h5o.open(file.id, folder.encode()) if exists(folder.encode()) else ()
        names = group if isinstance(group, h5g.GroupID) else ()
        yield from (f"{folder}/{name.decode()}" for name in names)


def _stored_text(item: Any, name: bytes) -> str | None:
    """Return an attribute that is one text; None where there is none."""
    if not h5a.exists(item, name):
        return None
    attribute = h5a.open(item, name)
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    text = value[()]
    return text.decode() if isinstance(text, bytes) else str(text)


def fingerprint_of(item: h5py.Dataset) -> str | None:
    """Return the fingerprint of a result; None when it was not written by atlaspatch."""
    value = item.attrs.get(FINGERPRINT)
    return None if value is None else str(value)


def datasets_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return path to dataset of all that an open file holds."""
    datasets: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return datasets


def identity_of(item: h5py.Dataset) -> Identity | None:
    """Return what decided a result; None when it was not written by atlaspatch."""
    if RECIPE not in item.attrs:
        return None
    recipe = parse_json(str(item.attrs[RECIPE]))
    return Identity(recipe["step"], recipe["version"], recipe["spec"], parse_json(str(item.attrs[INPUTS])))


def claim_of(item: h5py.Dataset) -> dict[str, Any]:
    """Return what a recipe says beside the identity."""
    recipe = parse_json(str(item.attrs.get(RECIPE, "{}")))
    return {key: value for key, value in recipe.items() if key not in ("step", "version", "spec")}


def read_claim(path: Path, name: str) -> dict[str, Any]:
    """Return what the recipe of one result says beside its identity. Raises UnreadableOutput."""
    with open_hdf5(path) as file:
        return claim_of(file[name])  # type: ignore[arg-type]


def read_claims(file: h5py.File) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield dataset, spec and what the recipe says beside the identity, of every result of ours in an open file."""
    for name in _results(file):
        item: h5py.Dataset = file[name]  # type: ignore[assignment]
        identity = identity_of(item)
        if identity is not None:
            yield name, dict(identity.spec), claim_of(item)
