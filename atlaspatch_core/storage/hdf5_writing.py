"""The one way to write an HDF5 file of ours: opened, sealed at the end, and what is copied from one to another."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py

from atlaspatch_core.fingerprint import Identity, canonical_json, is_unverified
from atlaspatch_core.storage.checksums import damaged_output, seal_file
from atlaspatch_core.storage.disk import open_file, writing_hdf5
from atlaspatch_core.storage.hdf5 import DAMAGED, datasets_of
from atlaspatch_core.storage.last_line import append_last_line, cut_last_line
from atlaspatch_core.storage.schema import FINGERPRINT, INPUTS, RECIPE, UNVERIFIED

Writer = Callable[[Path], None]


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


def copy_without(path: Path, target: Path, names: set[str]) -> None:
    """Write what the file at ``path`` holds to another, without some datasets. Raises DamagedOutput."""
    with open_file(path) as source, writing_hdf5(target) as file:
        for key, value in source.attrs.items():
            file.attrs[key] = value
        for name in datasets_of(source).keys() - names:
            try:
                source.copy(source[name], file, name)
            except DAMAGED as error:
                raise damaged_output(path, name, f"cannot be read ({error})") from error


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
