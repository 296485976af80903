"""Checksums beside what is stored, so that bit rot is found: of values, and of what is said of them.

They are no part of an identity: what was written before there were any is as valid as before. A dataset that is copied
keeps those that it has, and none is ever made of what is read from a file that has them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import DamagedOutput
from atlaspatch_core.storage.disk import check_stored, read_whole
from atlaspatch_core.storage.schema import ATTRIBUTES_SHA256, FINGERPRINT, FOUND_DAMAGED, SHA256

BLOCK_BYTES = 8 * 2**20
"""Values in memory at a time, roughly."""
SHOWN = 12
"""Digits of a checksum that are told."""


def values_sha256(values: h5py.Dataset | NDArray[Any]) -> str:
    """Return the sha256 of type, shape and values in C order, 64 hex digits; a dataset is read in blocks of rows."""
    if isinstance(values, h5py.Dataset):
        check_stored(values)
    digest = hashlib.sha256(f"{values.dtype.str} {tuple(values.shape)} ".encode())
    for block in _blocks(values):
        digest.update(np.ascontiguousarray(block).view(np.uint8).data if block.size else b"")
    return digest.hexdigest()


def _blocks(values: h5py.Dataset | NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield rows in order, whole chunks at a time; what has no rows at once."""
    if values.ndim == 0 or not values.size:
        yield np.atleast_1d(np.asarray(values[()]))
        return
    chunk = (getattr(values, "chunks", None) or (1,))[0]
    row_bytes = values.dtype.itemsize * values.size // len(values)
    step = max(1, BLOCK_BYTES // max(1, row_bytes * chunk)) * chunk
    for start in range(0, len(values), step):
        yield np.asarray(values[start : start + step])


def attributes_sha256(item: h5py.Dataset) -> str:
    """Return the sha256 of what is said of a dataset: name, type, shape and attributes."""
    return _hash_lines([str(item.name), item.dtype.str, str(item.shape), *_attribute_lines(item)])


def _file_sha256(file: h5py.File, sealed: Iterable[str]) -> str:
    return _hash_lines([*sorted(sealed), *_attribute_lines(file)])


def _attribute_lines(item: h5py.Dataset | h5py.File) -> Iterator[str]:
    for name in sorted(item.attrs):
        if name != ATTRIBUTES_SHA256:
            yield json.dumps([name, *_attribute(item.attrs[name])])


def _attribute(value: Any) -> list[Any]:
    if isinstance(value, str | bytes | h5py.Empty):
        return [type(value).__name__, repr(value)]
    array = np.asarray(value)
    content = repr(array.tolist()) if array.dtype.hasobject else array.tobytes().hex()
    return [array.dtype.str, list(array.shape), content]


def _hash_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def seal(item: h5py.Dataset, values: NDArray[Any] | None = None) -> None:
    """Write the checksums of a dataset beside it: of these values, or of those that lie there. The last thing written.

    Values are hashed as they are in memory, so that what the disk made of them is held against that.
    """
    content = item if values is None else np.asarray(values, item.dtype).reshape(item.shape)
    item.attrs[SHA256] = values_sha256(content)
    seal_attributes(item)


def seal_attributes(item: h5py.Dataset) -> None:
    """Write the checksum of attributes anew where a dataset has one; its values keep theirs."""
    if SHA256 in item.attrs:
        item.attrs[ATTRIBUTES_SHA256] = attributes_sha256(item)


def seal_file(file: h5py.File) -> None:
    """Write which datasets have checksums, and that of the file's attributes. Nothing where none has one."""
    if sealed := _sealed(file):
        file.attrs[ATTRIBUTES_SHA256] = _file_sha256(file, sealed)


def _sealed(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if is_sealed(item) else None)
    return names


def is_sealed(item: h5py.Dataset | h5py.Group | h5py.Datatype) -> bool:
    """Tell whether there is any checksum of a dataset."""
    return isinstance(item, h5py.Dataset) and (SHA256 in item.attrs or ATTRIBUTES_SHA256 in item.attrs)


def has_checksums(file: h5py.File) -> bool:
    """Tell whether there is any checksum in a file."""
    return ATTRIBUTES_SHA256 in file.attrs or bool(_sealed(file))


def damage_of(item: h5py.Dataset) -> str:
    """Return how a dataset is not what was written, a clause; empty where it is, or was written without checksum."""
    return attributes_damage(item) or (values_damage(item, item) if is_sealed(item) else "")


def attributes_damage(item: h5py.Dataset) -> str:
    """Return how type, shape or attributes are not those that were written; to be asked before values are read."""
    if str(item.attrs.get(FINGERPRINT, "")) == FOUND_DAMAGED:
        return "was found to be damaged"
    if not is_sealed(item):
        return ""
    return _difference("attributes", attributes_sha256(item), item.attrs.get(ATTRIBUTES_SHA256))


def values_damage(item: h5py.Dataset, values: h5py.Dataset | NDArray[Any]) -> str:
    """Return how the values of a dataset that has a checksum are not those that were written."""
    return _difference("values", values_sha256(values), item.attrs.get(SHA256))


def file_damage(file: h5py.File) -> str:
    """Return how the attributes of a file, or the list of its datasets, are not those that were written."""
    stated, sealed = file.attrs.get(ATTRIBUTES_SHA256), _sealed(file)
    if stated is None and not sealed:
        return ""
    return _difference("attributes of the file", _file_sha256(file, sealed), stated)


def _difference(what: str, current: str, written: object) -> str:
    if current == written:
        return ""
    before = str(written)[:SHOWN] if written is not None else "none"
    return f"has other {what} than were written (sha256 {current[:SHOWN]}, written {before})"


def read_checked(item: h5py.Dataset, path: Path) -> NDArray[Any]:
    """Return the values of a dataset of the file at ``path``. Raises DamagedOutput where they are not what was written.

    What was written without checksum is taken as it lies.
    """
    if clause := attributes_damage(item):
        raise damaged_output(path, str(item.name).strip("/"), clause)
    values = read_whole(item)
    if is_sealed(item) and (clause := values_damage(item, values)):
        raise damaged_output(path, str(item.name).strip("/"), clause)
    return values


def check_file(file: h5py.File, path: Path) -> None:
    """Raise DamagedOutput where attributes of a file, or the list of its datasets, are not what was written."""
    if clause := file_damage(file):
        raise damaged_output(path, "the file", clause)


def damaged_output(path: Path, what: str, clause: str) -> DamagedOutput:
    """Return what to say of a result that is not what was written."""
    error = DamagedOutput(
        f"{path.stem}: {what} in {path} {clause}; "
        "'atlaspatch audit' of its output folder with --mark-damaged has the next run compute it anew"
    )
    error.path = str(path)
    return error


def bytes_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
