"""How a slide's HDF5 file comes to be, and how results are added to it."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.checksums import check_file, seal
from atlaspatch_core.storage.disk import open_file
from atlaspatch_core.storage.hdf5 import (
    DAMAGED,
    StoredResult,
    datasets_of,
    fingerprint_of,
    open_hdf5,
    read_stored_results,
)
from atlaspatch_core.storage.hdf5_writing import Writer, copy_without, sealing_hdf5, write_identity
from atlaspatch_core.storage.schema import (
    COORDS,
    DAMAGED_FROM,
    FOUND_DAMAGED,
    PASSPORTS,
    SHA256,
    TISSUE_FRACTION,
    attention_of,
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


def write_new(path: Path, datasets: Sequence[Dataset], attributes: Mapping[str, Any], rows: int) -> Writer:
    """Return what writes a file of these datasets and of those results in ``path`` that belong to the same coords."""

    def write(target: Path) -> None:
        with sealing_hdf5(target) as file:
            for name, value in attributes.items():
                file.attrs[name] = value
            for dataset in datasets:
                _write(file, dataset, rows)
            _carry_over(path, file)

    return write


def write_added(path: Path, datasets: Sequence[Dataset], rows: int) -> Writer:
    """Return what writes the file at ``path`` with these datasets added or replaced; nothing else in it changes.

    The attention of an embedding that is replaced goes with it, for it was another embedding's.
    A file that only grows is copied as bytes; one in which a dataset is replaced is written anew, or HDF5 would keep
    the old rows as dead space. What is carried over keeps the checksums that it has. Raises DamagedOutput where the
    attributes of the file are not what was written, or a dataset cannot be carried over.
    """

    def write(target: Path) -> None:
        names = {dataset.name for dataset in datasets}
        names |= {*map(attention_of, names)}
        with open_hdf5(path) as file:
            check_file(file, path)
            replaced = names & datasets_of(file).keys()
        if replaced:
            copy_without(path, target, names)
        else:
            shutil.copyfile(path, target)
        with sealing_hdf5(target, "r+") as file:
            for dataset in datasets:
                _write(file, dataset, rows)

    return write


def _carry_over(path: Path, file: h5py.File) -> None:
    """Copy the results that were computed from the very coords that ``file`` has, so that a rebuild loses none.

    Those that cannot be read are left behind: they are computed anew.
    """
    results = _read_if_whole(path)
    if COORDS not in results:
        return
    with open_file(path) as source:
        if _are_same_coords(source[COORDS], file[COORDS]):  # type: ignore[arg-type]
            for name in results.keys() - {COORDS}:
                _copy_if_whole(source, name, file)
                if (attention := attention_of(name)) and attention in source:
                    _copy_if_whole(source, attention, file)


def _are_same_coords(stored: h5py.Dataset, new: h5py.Dataset) -> bool:
    """Tell whether coords are those that lie there; of damaged ones, whether they are those that were written there."""
    fingerprint = fingerprint_of(new)
    if fingerprint is None:
        return False
    if fingerprint_of(stored) != FOUND_DAMAGED:
        return fingerprint_of(stored) == fingerprint
    was_the_same = stored.attrs.get(DAMAGED_FROM) == fingerprint
    return was_the_same and stored.attrs.get(SHA256, "") == new.attrs[SHA256]


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
    seal(item, dataset.values)


def coord_passports(stem: str, coords: NDArray[np.int32], magnification: float, target_magnification: float) -> NDArray:
    """Return one line a patch, shape (n,), bytes, as AtlasPatch readers expect; never cut."""
    mags = f"mag{_whole(magnification)}_tmag{_whole(target_magnification)}_total{len(coords)}"
    lines = [f"{stem}__x{x}_y{y}_rw{w}_rh{h}_lv{level}_{mags}".encode() for x, y, w, h, level in coords.tolist()]
    return np.array(lines, dtype=f"S{max(160, *map(len, lines))}" if lines else "S160")


def _whole(magnification: float) -> str:
    return f"{magnification:g}" if magnification else "na"
