"""How values look in a slide's HDF5 file, and how the file changes: copied, completed, renamed."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5o  # type: ignore[attr-defined]
from numpy.typing import NDArray

from atlaspatch_core.disk import writing_hdf5
from atlaspatch_core.errors import OutOfDate, UnreadableOutput
from atlaspatch_core.fingerprint import Identity, canonical_json, is_unverified

COORDS = "coords"
PASSPORTS = "passports"
TISSUE_FRACTION = "tissue_fraction"
FEATURES = "features"
SLIDE_FEATURES = "slide_features"
UNVERIFIED = "unverified"
"""Attribute of results that were taken over from elsewhere without proof; true, or not there."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One array to keep."""

    name: str
    """Path in the file, such as ``features/uni_v1``."""
    values: NDArray
    identity: Identity | None = None
    """None for arrays that go with ``coords``."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    claim: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that its recipe says beside the identity, of a result that was taken over: who vouches for it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One result as it lies in a file."""

    path: Path
    name: str
    fingerprint: str | None
    """None when it was not written by atlaspatch."""
    shape: tuple[int, ...]

    @property
    def identity(self) -> Identity | None:
        """Read what decided the result; the fingerprint alone tells whether it is valid, and is read at once."""
        with _open(self.path) as file:
            return _identity(file[self.name])  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Another identity for a result whose rows stay as they are."""

    name: str
    """Path of the dataset."""
    before: str
    """Fingerprint that it has."""
    identity: Identity
    """What it gets."""
    claim: Mapping[str, Any] = field(default_factory=dict)
    """What its recipe is to say beside the identity; what it says already stays."""


Writer = Callable[[Path], None]


def read_kept(path: Path) -> dict[str, Kept]:
    """Return the coords, features and embeddings that a slide's file holds, by dataset path; empty without a file.

    Every look at a finished slide comes here: so by handles, which takes two thirds of the time of h5py's objects.
    Raises UnreadableOutput when the file is no HDF5 file.
    """
    if not path.exists():
        return {}
    with _open(path) as file:
        items = {name: h5o.open(file.id, name.encode()) for name in _results(file)}
        return {
            name: Kept(path, name, _stored_text(item, b"fingerprint"), item.shape)
            for name, item in items.items()
            if isinstance(item, h5d.DatasetID)
        }


def read_array(path: Path, name: str, fingerprint: str | None = None) -> NDArray:
    """Return one whole dataset, by default whatever its fingerprint.

    Raises UnreadableOutput when it is not there or cannot be read, OutOfDate when it has another fingerprint.
    """
    with _open(path) as file:
        if name not in file:
            raise UnreadableOutput(f"{path.stem}: {path} has no dataset {name!r}; run the step that makes it again")
        if fingerprint is not None and _fingerprint(file[name]) != fingerprint:  # type: ignore[arg-type]
            raise OutOfDate(f"{path.stem}: {name} in {path} was replaced meanwhile; run again")
        return file[name][()]  # type: ignore[index]


def read_attributes(path: Path, name: str = "/") -> dict[str, Any]:
    """Return the attributes of a dataset, or of the file; numbers as Python has them.

    Those of the file come with ``datasets``: the names of all that lies at its top. Raises UnreadableOutput.
    """
    with _open(path) as file:
        if name not in file:
            raise UnreadableOutput(f"{path.stem}: {path} has no dataset {name!r}; run the step that makes it again")
        values = {
            key: value.item() if isinstance(value, np.generic) else value for key, value in file[name].attrs.items()
        }
        return values | ({"datasets": tuple(file)} if name == "/" else {})


def read_rows(path: Path, name: str, rows: Sequence[int]) -> NDArray:
    """Return some rows of a dataset, in ascending order. Raises UnreadableOutput when they cannot be read."""
    with _open(path) as file:
        if name not in file or len(file[name]) <= max(rows, default=-1):  # type: ignore[arg-type]
            raise UnreadableOutput(
                f"{path.stem}: {path} has no such rows of {name!r}; run the step that makes it again"
            )
        return file[name][list(rows)]  # type: ignore[index]


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UnreadableOutput(
            f"{path.stem}: {path} cannot be read as HDF5 ({error}); move it away, or use --force to replace it"
        ) from error


def _results(file: h5py.File) -> Iterator[str]:
    """Yield the paths of the coords, features and embeddings."""
    there = file.id.links.exists
    yield from (COORDS,) if there(COORDS.encode()) else ()
    for folder in (FEATURES, SLIDE_FEATURES):
        found: Any = h5o.open(file.id, folder.encode()) if there(folder.encode()) else ()
        names = found if isinstance(found, h5g.GroupID) else ()
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


def _fingerprint(item: h5py.Dataset) -> str | None:
    value = item.attrs.get("fingerprint")
    return None if value is None else str(value)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def _identity(item: h5py.Dataset) -> Identity | None:
    if "recipe" not in item.attrs:
        return None
    recipe = json.loads(str(item.attrs["recipe"]))
    return Identity(recipe["step"], recipe["version"], recipe["spec"], json.loads(str(item.attrs["inputs"])))


def write_new(path: Path, datasets: Sequence[Dataset], attributes: Mapping[str, Any], rows: int) -> Writer:
    """Return what writes a file of these datasets and of those results in ``path`` that belong to the same coords."""

    def write(target: Path) -> None:
        with writing_hdf5(target) as file:
            for name, value in attributes.items():
                file.attrs[name] = value
            for dataset in datasets:
                _write(file, dataset, rows)
            _carry_over(path, file)

    return write


def write_added(path: Path, datasets: Sequence[Dataset], rows: int) -> Writer:
    """Return what writes the file at ``path`` with these datasets added or replaced; nothing else in it changes.

    A file that only grows is copied as bytes; one in which a dataset is replaced is written anew, or HDF5 would keep
    the old rows as dead space.
    """

    def write(target: Path) -> None:
        names = {dataset.name for dataset in datasets}
        with _open(path) as file:
            replaced = names & _datasets(file).keys()
        if replaced:
            _copy_without(path, target, names)
        else:
            shutil.copyfile(path, target)
        with writing_hdf5(target, "r+") as file:
            for dataset in datasets:
                _write(file, dataset, rows)

    return write


def write_restamped(path: Path, stamps: Sequence[Stamp], canary: Mapping[str, int | float]) -> Writer:
    """Return what writes the file at ``path`` with other identities, and with the numbers that justify them."""

    def write(target: Path) -> None:
        shutil.copyfile(path, target)
        with writing_hdf5(target, "r+") as file:
            for stamp in stamps:
                item: h5py.Dataset = file[stamp.name]  # type: ignore[assignment]
                _write_identity(item, stamp.identity, _claim(item) | dict(stamp.claim))
                item.attrs["restamped_from"] = stamp.before
                if canary:
                    item.attrs["canary"] = canonical_json(dict(canary))
                if "revision" in item.attrs:
                    item.attrs["revision"] = canonical_json(stamp.identity.spec.get("weights"))

    return write


def _carry_over(path: Path, file: h5py.File) -> None:
    """Copy the results that were computed from the very coords that ``file`` has, so that a rebuild loses none."""
    kept = read_kept(path) if path.exists() and h5py.is_hdf5(path) else {}
    new = _fingerprint(file[COORDS])  # type: ignore[arg-type]
    if new is None or COORDS not in kept or kept[COORDS].fingerprint != new:
        return
    with h5py.File(path, "r") as source:
        for name in kept.keys() - {COORDS}:
            source.copy(source[name], file, name)


def _copy_without(path: Path, target: Path, names: set[str]) -> None:
    with h5py.File(path, "r") as source, writing_hdf5(target) as file:
        for key, value in source.attrs.items():
            file.attrs[key] = value
        for name in _datasets(source).keys() - names:
            source.copy(source[name], file, name)


def _write(file: h5py.File, dataset: Dataset, rows: int) -> None:
    options: dict[str, Any] = {}
    if dataset.values.ndim == 2 or dataset.name in (PASSPORTS, TISSUE_FRACTION):
        chunk = max(1, min(rows, len(dataset.values)))
        options = {"chunks": (chunk, *dataset.values.shape[1:]), "maxshape": (None, *dataset.values.shape[1:])}
    if dataset.name == PASSPORTS:
        options["compression"] = "gzip"
    item = file.create_dataset(dataset.name, data=dataset.values, **options)
    for name, value in dataset.attributes.items():
        item.attrs[name] = value
    if dataset.identity:
        _write_identity(item, dataset.identity, dataset.claim)


def _write_identity(item: h5py.Dataset, identity: Identity, claim: Mapping[str, Any]) -> None:
    recipe = {**claim, "step": identity.step, "version": identity.version, "spec": dict(identity.spec)}
    item.attrs["fingerprint"] = identity.fingerprint
    item.attrs["recipe"] = canonical_json(recipe)
    item.attrs["inputs"] = canonical_json(dict(identity.inputs))
    if UNVERIFIED in item.attrs and not is_unverified(identity):
        del item.attrs[UNVERIFIED]
    elif is_unverified(identity):
        item.attrs[UNVERIFIED] = True


def _claim(item: h5py.Dataset) -> dict[str, Any]:
    """Return what a recipe says beside the identity."""
    recipe = json.loads(str(item.attrs.get("recipe", "{}")))
    return {key: value for key, value in recipe.items() if key not in ("step", "version", "spec")}


def read_claims(file: h5py.File) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield dataset, spec and what the recipe says beside the identity, of every result of ours in an open file."""
    for name in _results(file):
        item: h5py.Dataset = file[name]  # type: ignore[assignment]
        identity = _identity(item)
        if identity is not None:
            yield name, dict(identity.spec), _claim(item)


def passports(stem: str, coords: NDArray[np.int32], magnification: float, target_magnification: float) -> NDArray:
    """Return one line a patch, shape (n,), bytes, as AtlasPatch readers expect; never cut."""
    mags = f"mag{_whole(magnification)}_tmag{_whole(target_magnification)}_total{len(coords)}"
    lines = [f"{stem}__x{x}_y{y}_rw{w}_rh{h}_lv{level}_{mags}".encode() for x, y, w, h, level in coords.tolist()]
    return np.array(lines, dtype=f"S{max(160, *map(len, lines))}" if lines else "S160")


def _whole(magnification: float) -> str:
    return f"{magnification:g}" if magnification else "na"
