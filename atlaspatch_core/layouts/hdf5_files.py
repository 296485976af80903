"""HDF5 files of others, opened so that nothing about them changes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.layouts.found import Holds, ResultFile
from atlaspatch_core.storage.checksums import damage_of
from atlaspatch_core.storage.damage import UNREADABLE
from atlaspatch_core.storage.disk import open_file, read_whole
from atlaspatch_core.storage.schema import ATTENTION

CANNOT = UNREADABLE
"""What h5py raises of files that are damaged, or hold something else."""
PARTS = {"features": Holds.FEATURES, "slide_features": Holds.EMBEDDING}


def opened(path: Path) -> Any:
    """Return an open file, read-only and without a lock, so that read-only drives and running writers do not mind.

    A ``h5py.File``; typed loosely, for what an item is in a file of others is not known before it is looked at.
    Raises one of ``CANNOT``.
    """
    return open_file(path, locking=False)


@dataclass(frozen=True, slots=True)
class ResultDataset:
    """One array in a file of others."""

    holds: Holds
    encoder: str
    dataset: str


def results_in(file: Any, listed: ResultFile) -> Iterator[ResultDataset]:
    """Yield the features and embeddings of a file; half-written ones (``__tmp_``) are left out."""
    if listed.holds in (Holds.FEATURES, Holds.EMBEDDING):
        yield ResultDataset(listed.holds, listed.encoder, "features")
    for folder, holds in PARTS.items() if listed.holds is Holds.ALL else ():
        for name in file[folder] if isinstance(file.get(folder), h5py.Group) else ():
            if not name.startswith("__tmp_"):
                yield ResultDataset(holds, name, f"{folder}/{name}")


def attention_in(file: Any) -> Iterator[str]:
    """Yield the paths of what is kept of attention in a file of ours."""
    group = file.get(ATTENTION)
    yield from (f"{ATTENTION}/{name}" for name in group) if isinstance(group, h5py.Group) else ()


def corners_of(file: Any) -> NDArray[np.int64]:
    """Return the top-left corners, level-0 px, shape (n, 2). Raises one of ``CANNOT`` where they are none."""
    values = read_whole(file["coords"])
    if values.ndim == 1 and len(values) in (0, 2):  # one patch, or none, written without its axis
        values = values.reshape(-1, 2)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"coords have shape {values.shape}, not (n, 2) or more columns")
    if not np.array_equal(values[:, :2], np.trunc(values[:, :2])):
        raise ValueError("coords are not whole level-0 px")
    return values[:, :2].astype(np.int64)


def undamaged_corners(file: Any) -> NDArray[np.int64]:
    """Return what ``corners_of`` does. Raises one of ``CANNOT`` also where they are not what was written."""
    corners, clause = corners_of(file), damage_of(file["coords"])
    if clause:
        raise ValueError(f"coords {clause}")
    return corners


@dataclass(frozen=True, slots=True)
class StatedGeometry:
    """What a file says of the geometry of its patches; None where it says nothing, or no number."""

    patch_size: float | None = None
    """px at the target magnification; of CLAM's, px of ``patch_level``."""
    patch_size_level0: float | None = None
    target_magnification: float | None = None
    level0_magnification: float | None = None
    overlap: float | None = None
    level0_width: float | None = None
    level0_height: float | None = None
    mpp: float | None = None
    patch_level: float | None = None
    custom_downsample: float | None = None
    name: str = ""
    """Slide that it belongs to."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the slide, level-0 px."""
        if not self.level0_width or not self.level0_height:
            return None
        return int(self.level0_width), int(self.level0_height)


NUMBERS = tuple(name for name in StatedGeometry.__dataclass_fields__ if name != "name")


def stated_in(file: Any) -> StatedGeometry:
    """Return what the attributes of the file and of its coords say, whatever number type they have."""
    attributes = dict(file.attrs)
    for name in ("coords", "features"):
        if isinstance(file.get(name), h5py.Dataset):
            attributes = dict(file[name].attrs) | attributes
    return stated(attributes)


def stated(attributes: Mapping[str, Any]) -> StatedGeometry:
    """Return what attributes say."""
    name = attributes.get("name", "")
    numbers = {key: _number(attributes.get(key)) for key in NUMBERS}
    return StatedGeometry(**numbers, name=name.decode() if isinstance(name, bytes) else str(name))


def _number(value: Any) -> float | None:
    try:
        number = float(np.asarray(value).reshape(-1)[0]) if value is not None else None
    except (ValueError, TypeError, IndexError):
        return None
    return number if number is not None and isfinite(number) else None
