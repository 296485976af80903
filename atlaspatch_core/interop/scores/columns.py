"""What a file of scores holds, by name: CSV, Parquet, arrays of numpy, HDF5."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores, UnreadableOutput
from atlaspatch_core.operations.label_tables import read_parquet
from atlaspatch_core.storage.disk import read_whole
from atlaspatch_core.storage.hdf5 import open_hdf5
from atlaspatch_core.tables import bare_name, read_columns

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, NDArray[Any]]
"""Name to values, shape (n,), texts or numbers."""
COORDS = ("coords", "coordinates")
"""What a dataset of places is called, shape (n, 2) or wider: x and y of top-left corners, level-0 px."""


def read_score_columns(path: Path) -> Columns:
    """Return what a file of scores holds. Raises InvalidScores, and MissingExtra where Parquet cannot be read."""
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidScores(f"{path}: scores are read from {', '.join(READERS)}; save them as one of these")
    return read(path)


def of_array(array: NDArray[Any], name: str) -> Columns:
    """Return the columns of an array, shape (n,) or (n, k), by their numbers. Raises InvalidScores for others."""
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return {"score": array.reshape(-1)}
    if array.ndim != 2:
        raise InvalidScores(f"{name}: an array of shape {array.shape}; give (n,), or (n, k) for k columns")
    return {str(number): array[:, number] for number in range(array.shape[1])}


def of_frame(frame: "pd.DataFrame") -> Columns:
    """Return the columns of a table of pandas, with those of its index that have a name."""
    whole = frame.reset_index() if any(frame.index.names) else frame
    return {str(name): whole[name].to_numpy() for name in whole.columns}


def _read_csv(path: Path) -> Columns:
    head, rows = read_columns(path, InvalidScores)
    if len(set(head)) < len(head) or any(len(row) > len(head) for row in rows):
        raise InvalidScores(f"{path}: needs a first row of different column names, one for each value of a row")
    padded = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return {name: np.array([row[place] for row in padded], object) for place, name in enumerate(head)}


def _read_parquet(path: Path) -> Columns:
    return of_frame(read_parquet(path, InvalidScores))


def _read_npy(path: Path) -> Columns:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidScores(f"{path}: cannot be read as an array of numpy ({error}); write it again") from error
    return of_array(array, str(path))


def _read_hdf5(path: Path) -> Columns:
    arrays: dict[str, NDArray[Any]] = {}

    def add_dataset(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and 0 < item.ndim < 4:
            arrays[name] = read_whole(item)

    try:
        with open_hdf5(path) as file:
            file.visititems(add_dataset)
    except UnreadableOutput as error:
        raise InvalidScores(f"{path}: cannot be read as HDF5 ({error.__cause__ or error}); write it again") from error
    return dict(column for name, array in arrays.items() for column in _of_dataset(name, array).items())


def _of_dataset(name: str, array: NDArray[Any]) -> Columns:
    """Return the columns of a dataset; ones of length 1 are no axis, as (1, n) is how some models store n numbers."""
    flat = array.reshape([length for length in array.shape if length != 1] or [-1])
    if bare_name(name.rpartition("/")[2]) in COORDS and array.ndim == 2:
        return {"x": array[:, 0], "y": array[:, 1]}
    if flat.ndim == 1:
        return {name: flat}
    return {f"{name}/{number}": values for number, values in of_array(flat, name).items()} if flat.ndim == 2 else {}


READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
}
"""Suffix to what reads it."""
