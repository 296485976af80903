"""How a slide's HDF5 file changes: copied, completed, renamed."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.fingerprint import Identity, canonical_json, is_unverified
from atlaspatch_core.storage.disk import open_file, writing_hdf5
from atlaspatch_core.storage.hdf5 import (
    DAMAGED,
    StoredResult,
    claim_of,
    datasets_of,
    fingerprint_of,
    open_hdf5,
    read_stored_results,
)
from atlaspatch_core.storage.schema import (
    CANARY,
    COORDS,
    FINGERPRINT,
    INPUTS,
    PASSPORTS,
    RECIPE,
    RESTAMPED_FROM,
    REVISION,
    TISSUE_FRACTION,
    UNVERIFIED,
)

log = logging.getLogger(__name__)


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
class IdentityUpdate:
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
        with open_hdf5(path) as file:
            replaced = names & datasets_of(file).keys()
        if replaced:
            _copy_without(path, target, names)
        else:
            shutil.copyfile(path, target)
        with writing_hdf5(target, "r+") as file:
            for dataset in datasets:
                _write(file, dataset, rows)

    return write


def write_restamped(path: Path, stamps: Sequence[IdentityUpdate], canary: Mapping[str, int | float]) -> Writer:
    """Return what writes the file at ``path`` with other identities, and with the numbers that justify them."""

    def write(target: Path) -> None:
        shutil.copyfile(path, target)
        with writing_hdf5(target, "r+") as file:
            for stamp in stamps:
                item: h5py.Dataset = file[stamp.name]  # type: ignore[assignment]
                write_identity(item, stamp.identity, claim_of(item) | dict(stamp.claim))
                item.attrs[RESTAMPED_FROM] = stamp.before
                if canary:
                    item.attrs[CANARY] = canonical_json(dict(canary))
                if REVISION in item.attrs:
                    item.attrs[REVISION] = canonical_json(stamp.identity.spec.get("weights"))

    return write


def _carry_over(path: Path, file: h5py.File) -> None:
    """Copy the results that were computed from the very coords that ``file`` has, so that a rebuild loses none.

    Damaged ones are left behind: they are computed anew.
    """
    results = _read_if_whole(path)
    new = fingerprint_of(file[COORDS])  # type: ignore[arg-type]
    if new is None or COORDS not in results or results[COORDS].fingerprint != new:
        return
    with open_file(path) as source:
        for name in results.keys() - {COORDS}:
            _copy_if_whole(source, name, file)


def _copy_if_whole(source: h5py.File, name: str, file: h5py.File) -> None:
    try:
        source.copy(source[name], file, name)
    except DAMAGED as error:
        log.warning("%s: %s is damaged and not kept: %s", Path(source.filename).stem, name, error)
        if name in file:
            del file[name]


def _read_if_whole(path: Path) -> dict[str, StoredResult]:
    """Return what a file holds, nothing of a damaged one; one in use is no damage: raises OutputInUse."""
    try:
        return read_stored_results(path)
    except OutputInUse:
        raise
    except UnreadableOutput:
        return {}


def _copy_without(path: Path, target: Path, names: set[str]) -> None:
    with open_file(path) as source, writing_hdf5(target) as file:
        for key, value in source.attrs.items():
            file.attrs[key] = value
        for name in datasets_of(source).keys() - names:
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
        write_identity(item, dataset.identity, dataset.claim)


def write_identity(item: h5py.Dataset, identity: Identity, claim: Mapping[str, Any]) -> None:
    """Write what decided a result, and what is claimed of it, beside its values."""
    recipe = {**claim, "step": identity.step, "version": identity.version, "spec": dict(identity.spec)}
    item.attrs[FINGERPRINT] = identity.fingerprint
    item.attrs[RECIPE] = canonical_json(recipe)
    item.attrs[INPUTS] = canonical_json(dict(identity.inputs))
    if UNVERIFIED in item.attrs and not is_unverified(identity):
        del item.attrs[UNVERIFIED]
    elif is_unverified(identity):
        item.attrs[UNVERIFIED] = True


def coord_passports(stem: str, coords: NDArray[np.int32], magnification: float, target_magnification: float) -> NDArray:
    """Return one line a patch, shape (n,), bytes, as AtlasPatch readers expect; never cut."""
    mags = f"mag{_whole(magnification)}_tmag{_whole(target_magnification)}_total{len(coords)}"
    lines = [f"{stem}__x{x}_y{y}_rw{w}_rh{h}_lv{level}_{mags}".encode() for x, y, w, h, level in coords.tolist()]
    return np.array(lines, dtype=f"S{max(160, *map(len, lines))}" if lines else "S160")


def _whole(magnification: float) -> str:
    return f"{magnification:g}" if magnification else "na"
