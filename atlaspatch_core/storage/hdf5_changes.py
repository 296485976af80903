"""How a slide's HDF5 file changes: copied, completed, renamed."""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.fingerprint import Identity, canonical_json, is_unverified
from atlaspatch_core.storage.checksums import (
    attributes_damage,
    check_file,
    damaged_output,
    is_sealed,
    seal,
    seal_attributes,
    seal_file,
)
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
from atlaspatch_core.storage.last_line import append_last_line, cut_last_line
from atlaspatch_core.storage.schema import (
    CANARY,
    COORDS,
    DAMAGED_FROM,
    FINGERPRINT,
    FOUND_DAMAGED,
    INPUTS,
    PASSPORTS,
    RECIPE,
    RESTAMPED_FROM,
    REVISION,
    SHA256,
    TISSUE_FRACTION,
    UNVERIFIED,
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
    """What its recipe is to say beside the identity; what it says already stays, but for what is None here."""


Writer = Callable[[Path], None]


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
            _copy_without(path, target, names)
        else:
            shutil.copyfile(path, target)
        with sealing_hdf5(target, "r+") as file:
            for dataset in datasets:
                _write(file, dataset, rows)

    return write


def write_restamped(path: Path, stamps: Sequence[IdentityUpdate], canary: Mapping[str, int | float]) -> Writer:
    """Return what writes the file at ``path`` with other identities, and with the numbers that justify them."""

    def write(target: Path) -> None:
        shutil.copyfile(path, target)
        with sealing_hdf5(target, "r+", is_sealed_already=True) as file:
            for stamp in stamps:
                item: h5py.Dataset = file[stamp.name]  # type: ignore[assignment]
                if clause := attributes_damage(item):
                    raise damaged_output(path, stamp.name, clause)
                write_identity(item, stamp.identity, claim_of(item) | dict(stamp.claim))
                item.attrs[RESTAMPED_FROM] = stamp.before
                if canary:
                    item.attrs[CANARY] = canonical_json(dict(canary))
                if REVISION in item.attrs:
                    item.attrs[REVISION] = canonical_json(stamp.identity.spec.get("weights"))
                seal_attributes(item)
                _restamp_attention(file, stamp)

    return write


def _restamp_attention(file: h5py.File, stamp: IdentityUpdate) -> None:
    """Let the attention of an embedding go on belonging to it, where it is whole and did."""
    name = attention_of(stamp.name)
    if not name or name not in file:
        return
    item: h5py.Dataset = file[name]  # type: ignore[assignment]
    if fingerprint_of(item) == stamp.before and not attributes_damage(item):
        item.attrs[FINGERPRINT] = stamp.identity.fingerprint
        seal_attributes(item)


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


def write_marked(path: Path, names: Sequence[str]) -> Writer:
    """Return what writes the file at ``path`` with some results marked as damaged: their rows stay as they lie."""

    def write(target: Path) -> None:
        shutil.copyfile(path, target)
        with sealing_hdf5(target, "r+", is_sealed_already=True) as file:
            for name in names:
                item: h5py.Dataset = file[name]  # type: ignore[assignment]
                item.attrs[DAMAGED_FROM] = fingerprint_of(item) or ""
                item.attrs[FINGERPRINT] = FOUND_DAMAGED

    return write


def write_sealed(path: Path) -> Writer:
    """Return what writes the file at ``path`` with checksums of what has none, as it lies there."""

    def write(target: Path) -> None:
        shutil.copyfile(path, target)
        with sealing_hdf5(target, "r+") as file:
            check_file(file, path)
            for item in datasets_of(file).values():
                if not is_sealed(item) and fingerprint_of(item) != FOUND_DAMAGED:
                    seal(item)

    return write


def write_copied(path: Path, but: set[str]) -> Writer:
    """Return what writes what the file at ``path`` holds to another, ``but`` some datasets, and no bytes beside it."""

    def write(target: Path) -> None:
        _copy_without(path, target, but)
        with sealing_hdf5(target, "r+", is_sealed_already=not but):
            pass

    return write


@contextmanager
def sealing_hdf5(
    target: Path, mode: Literal["w", "r+"] = "w", *, is_sealed_already: bool = False
) -> Iterator[h5py.File]:
    """Open an HDF5 file to write, and add at the end the checksums of the file, and its last line.

    Attributes of the file that were sealed before are not sealed again with ``is_sealed_already``.
    """
    if mode == "r+":
        cut_last_line(target)
    with writing_hdf5(target, mode) as file:
        yield file
        if not is_sealed_already:
            seal_file(file)
    append_last_line(target)


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
            try:
                source.copy(source[name], file, name)
            except DAMAGED as error:
                raise damaged_output(path, name, f"cannot be read ({error})") from error


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


def write_identity(item: h5py.Dataset, identity: Identity, claim: Mapping[str, Any]) -> None:
    """Write what decided a result, and what is claimed of it, beside its values."""
    claims = {key: value for key, value in claim.items() if value is not None}
    recipe = {**claims, "step": identity.step, "version": identity.version, "spec": dict(identity.spec)}
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
