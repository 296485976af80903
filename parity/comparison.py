"""Two folders of results held against each other: rows, features, and what files, datasets and attributes differ."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray


class Place(NamedTuple):
    """A dataset: a file, from the folder of results, and a name in it."""

    file: str
    dataset: str


class Places(NamedTuple):
    """Where results of the slide ``a`` lie."""

    coords: Place
    features: Place
    apart: Sequence[str] = ()
    """Patterns of files that tell of runs, not of the slide."""


class Comparison(NamedTuple):
    """What two folders have in common."""

    rows: int
    same_rows: bool
    difference: float
    """Largest of a feature; nan where rows differ."""
    layout: tuple[str, ...]
    """What of theirs ours lacks, or has otherwise."""


def compare_folders(theirs: Path, ours: Path, places: Places) -> Comparison:
    """Return in what our folder differs from theirs."""
    (their_coords, their_features), (our_coords, our_features) = (read_result(it, places) for it in (theirs, ours))
    is_same = np.array_equal(their_coords, our_coords) and their_features.shape == our_features.shape
    difference = float(np.abs(their_features - our_features).max()) if is_same else float("nan")
    return Comparison(len(their_coords), is_same, difference, tuple(layout_differences(theirs, ours, places.apart)))


def read_result(folder: Path, places: Places) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return coords (n, 2 or more) and features (n, d), rows that occur twice once, where they occur first."""
    coords = read_dataset(folder, places.coords).astype(np.int64)
    features = read_dataset(folder, places.features).astype(np.float64)
    first = np.sort(np.unique(coords[:, :2], axis=0, return_index=True)[1])
    return coords[first], features[first]


def read_dataset(folder: Path, place: Place) -> NDArray[Any]:
    """Return a dataset."""
    with h5py.File(folder / place.file) as file:
        return np.asarray(file[place.dataset])


def layout_differences(theirs: Path, ours: Path, apart: Sequence[str] = ()) -> Iterator[str]:
    """Yield what differs: files that ours lacks, then datasets and attributes of HDF5 files that both have."""
    for name in contents(theirs, apart):
        if not (ours / name).is_file():
            yield f"no {name}"
        elif name.endswith(".h5"):
            with h5py.File(theirs / name) as their_file, h5py.File(ours / name) as our_file:
                lines = list(hdf5_differences(their_file, our_file))
            yield from [f"{name}: {', '.join(lines)}"] if lines else ()


def hdf5_differences(theirs: h5py.File, ours: h5py.File) -> Iterator[str]:
    """Yield how the nodes of a file differ, but for the values of coords and features."""
    names: list[str] = []
    theirs.visit(names.append)
    yield from attribute_differences("", theirs.attrs, ours.attrs)
    for name in names:
        if name not in ours:
            yield f"no {name}"
            continue
        their_node, our_node = theirs[name], ours[name]
        if isinstance(their_node, h5py.Dataset) and isinstance(our_node, h5py.Dataset):
            yield from dataset_differences(name, their_node, our_node)
        yield from attribute_differences(f"{name}.", their_node.attrs, our_node.attrs)


def dataset_differences(name: str, theirs: h5py.Dataset, ours: h5py.Dataset) -> Iterator[str]:
    """Yield that dtype or shape differ, or the texts of a dataset of texts."""
    if theirs.dtype != ours.dtype:
        yield f"{name} is {ours.dtype}, not {theirs.dtype}"
    if theirs.shape != ours.shape:
        yield f"{name} is {ours.shape}, not {theirs.shape}"
    elif theirs.dtype.kind in "SO" and not np.array_equal(theirs[()], ours[()]):
        yield f"other {name}"


def attribute_differences(node: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield attributes of a node that ours lacks, or that say something else."""
    for name, value in theirs.items():
        if name not in ours:
            yield f"no {node}{name}"
        elif not np.array_equal(value, ours[name]):
            yield f"other {node}{name}"


def contents(folder: Path, apart: Sequence[str] = ()) -> dict[str, str]:
    """Return the sha256 of every file by its path from a folder, but for those of a pattern."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    compared = [name for name in names if not any(fnmatch(name, pattern) for pattern in apart)]
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in compared}


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the files that are not as they were."""
    return [name for name in before if after.get(name) != before[name]]
