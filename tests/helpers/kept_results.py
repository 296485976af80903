"""Results of a slide, kept in a store."""

from pathlib import Path

import h5py
import numpy as np

from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.storage.hdf5_changes import Dataset, write_new
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store


def identity(step: str, **spec) -> Identity:
    return Identity(step, 1, spec, {})


COORDS_A, COORDS_B = identity("patch_coords", patch_size=256), identity("patch_coords", patch_size=512)


def keep_coords(store: Store, coords: Identity, rows: int = 3, *, stem: str = "a", geometry: str = "") -> None:
    values = np.arange(rows * 5, dtype=np.int32).reshape(rows, 5)
    write = write_new(store.h5(stem, geometry), [Dataset(COORDS, values, coords)], {"patch_size": 256}, 8192)
    store.write_coords(stem, geometry, write)


def keep_features(
    store: Store, name: str, value: float, coords: Identity = COORDS_A, *, stem: str = "a", geometry: str = ""
) -> None:
    values = np.full((3, 4), value, np.float32)
    features = Dataset(f"features/{name}", values, identity("patch_features", encoder=name), {"dim": 4})
    store.write_results(stem, geometry, coords, [features])


def all_values(path: Path) -> dict[str, list]:
    """Return every dataset of an HDF5 file by its name."""
    found: dict[str, list] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tolist()}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def temporaries(folder: Path) -> list[Path]:
    """Return files that are half written."""
    return list(folder.rglob(".*.tmp"))
