"""What is said of results in a slide's HDF5 file changes, and their rows stay: identities, marks, checksums."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.storage.checksums import (
    attributes_damage,
    check_file,
    damaged_output,
    is_sealed,
    seal,
    seal_attributes,
)
from atlaspatch_core.storage.hdf5 import claim_of, datasets_of, fingerprint_of
from atlaspatch_core.storage.hdf5_writing import Writer, copy_without, sealing_hdf5, write_identity
from atlaspatch_core.storage.schema import (
    CANARY,
    DAMAGED_FROM,
    FINGERPRINT,
    FOUND_DAMAGED,
    RESTAMPED_FROM,
    REVISION,
    attention_of,
)


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
        copy_without(path, target, but)
        with sealing_hdf5(target, "r+", is_sealed_already=not but):
            pass

    return write
