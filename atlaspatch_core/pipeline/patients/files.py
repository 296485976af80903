"""What lies on disk: the features of a slide, and the file of a case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutOfDate
from atlaspatch_core.fingerprint import Identity, changed_input, upstream_reason
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.checksums import attributes_damage, check_file, damaged_output, read_checked, seal
from atlaspatch_core.storage.hdf5 import identity_of, open_hdf5
from atlaspatch_core.storage.hdf5_writing import sealing_hdf5, write_identity
from atlaspatch_core.storage.ownership import check_replaceable, unusable_output
from atlaspatch_core.storage.schema import (
    COORDS,
    FEATURES,
    FINGERPRINT,
    NUM_PATCHES,
    PATCH_SIZE,
    PATCH_SIZE_LEVEL0,
    TARGET_MAGNIFICATION,
    WSI_PATH,
)
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.rules import is_of_upstream, stale_reason


@dataclass(frozen=True, slots=True)
class SlideFile:
    """The features of one slide, as its file holds them."""

    path: Path
    encoder: str
    """Patch encoder."""
    fingerprint: str
    """Of the features that are wanted."""

    def read(self) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
        """Return features (n, d), coords (n, 2) in level-0 px, and the side of a patch in level-0 px.

        Raises OutOfDate when another process has replaced the features, DamagedOutput when they are not those that were
        written.
        """
        with open_hdf5(self.path) as file:
            check_file(file, self.path)
            features = read_checked(self._item(file), self.path)
            coords = read_checked(file[COORDS], self.path)[:, :2]  # type: ignore[arg-type]
            return np.asarray(features, np.float32), np.asarray(coords, np.int64), int(file.attrs[PATCH_SIZE_LEVEL0])  # type: ignore[arg-type]

    def patches(self) -> int:
        """Return how many patches there are. Raises OutOfDate."""
        with open_hdf5(self.path) as file:
            return self._item(file).shape[0]

    def summary(self) -> dict[str, Any]:
        """Return what the file of a case says of the slide, under AtlasPatch's names."""
        names = (NUM_PATCHES, PATCH_SIZE_LEVEL0, PATCH_SIZE, TARGET_MAGNIFICATION, WSI_PATH)
        with open_hdf5(self.path) as file:
            return {"h5_path": str(self.path.absolute())} | {name: _plain(file.attrs[name]) for name in names}

    def _item(self, file: h5py.File) -> h5py.Dataset:
        item = file.get(f"{FEATURES}/{self.encoder}")
        if not isinstance(item, h5py.Dataset) or item.attrs.get(FINGERPRINT) != self.fingerprint:
            raise OutOfDate(f"{self.path.stem}: the {self.encoder} features in {self.path} changed; run again")
        return item


def inputs_of(stems: Sequence[str], fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Return what decides a case beside its encoder: the fingerprints of its slides' features, in their order."""
    return {f"{place:04d} {stem}": fingerprints[stem] for place, stem in enumerate(stems, 1)}


def case_reason(stored: Identity, expected: Identity, features: OutputKey) -> str:
    """Return why the embedding of a case is stale: its encoder, its slides, or the features of one of them."""
    why = stale_reason(stored, expected)
    if not why or not is_of_upstream(why):
        return why
    before, after = ([_stem(name) for name in identity.inputs] for identity in (stored, expected))
    if before != after:
        return f"slides {' '.join(before)} → {' '.join(after)}"
    return upstream_reason(f"{features} of {_stem(changed_input(stored, expected))}")


def _stem(name: str) -> str:
    return name.partition(" ")[2]


def case_path(recipe: Recipe, stage: OutputSpec, case_id: str) -> Path:
    """Return where the embedding of a case lies."""
    return Store(recipe.project.output).case(case_id, str(stage.step.encoder), stage.step.geometry)


def read_case(path: Path) -> tuple[Identity, NDArray[np.float32]] | None:
    """Return identity and embedding (dim,) in a case's file; None when there is none.

    Raises UnreadableOutput when the file is no HDF5 file, or others wrote it, DamagedOutput when it is not what was
    written.
    """
    if not path.exists():
        return None
    with open_hdf5(path) as file:
        item = file.get(FEATURES)
        if isinstance(item, h5py.Dataset) and (clause := attributes_damage(item)):
            raise damaged_output(path, FEATURES, clause)
        check_file(file, path)
        if not isinstance(item, h5py.Dataset) or (identity := identity_of(item)) is None:
            raise unusable_output(path)
        return identity, np.asarray(read_checked(item, path), np.float32)


def keep_case(path: Path, vector: NDArray[np.float32], identity: Identity, attributes: Mapping[str, Any]) -> None:
    """Write the file of a case, whole or not at all: dataset ``features`` (dim,), AtlasPatch's attributes on the file,
    ours on the dataset as on any other. Raises UnreadableOutput where a file lies there that others wrote.
    """
    is_known = Store(path.parent).lock(path.stem).exists()  # made by the first write
    with slide_lock(path.parent, path.stem):
        check_replaceable(path, FEATURES, is_known=is_known)
        with replacing(path) as temporary, sealing_hdf5(temporary) as file:
            file.attrs.update(attributes)
            item = file.create_dataset(FEATURES, data=vector)
            write_identity(item, identity, {})
            seal(item, vector)


def remove_case(path: Path) -> None:
    """Remove the file of a case that has no embedding any more. Raises UnreadableOutput where others wrote it."""
    if not path.exists():
        return
    is_known = Store(path.parent).lock(path.stem).exists()
    with slide_lock(path.parent, path.stem):
        check_replaceable(path, FEATURES, is_known=is_known)
        path.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Return a value fit for JSON."""
    return value.item() if isinstance(value, np.generic) else value
