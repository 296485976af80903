"""What a file of scores holds, by name: CSV, Parquet, arrays of numpy, HDF5."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores, UnreadableOutput
from atlaspatch_core.interop.scores.cells import as_cells, with_decimal_point
from atlaspatch_core.operations.label_tables import OF_SLIDES, find_column, read_parquet
from atlaspatch_core.storage.disk import read_whole
from atlaspatch_core.storage.hdf5 import open_hdf5
from atlaspatch_core.tables import bare_name, read_separated

if TYPE_CHECKING:
    import pandas as pd

Columns = Mapping[str, NDArray[Any]]
"""Name to values, shape (n,), texts or numbers."""
COORDS = ("coords", "coordinates")
"""What a dataset of places is called, shape (n, 2) or wider: x and y of top-left corners, level-0 px."""


def read_score_columns(path: Path) -> Columns:
    """Return what a file of scores holds. Raises InvalidScores, and MissingExtra where Parquet cannot be read."""
    read = READERS.get(path.suffix.lower())
    if not path.is_file():
        raise InvalidScores(f"{path}: no file of scores is there; correct the path")
    if read is None:
        raise InvalidScores(f"{path}: scores are read from {', '.join(READERS)}; save them as one of these")
    return read(path)


def of_array(array: NDArray[Any], name: str) -> Columns:
    """Return the columns of an array, shape (n,) or (n, k), by their numbers; axes of length 1 are none.

    So (1, n), as some models store n numbers, is one column. Raises InvalidScores for others.
    """
    flat = array.reshape([length for length in array.shape if length != 1] or [-1])
    if flat.ndim == 1 and array.ndim:
        return {"score": as_cells(flat)}
    if flat.ndim != 2:
        raise InvalidScores(f"{name}: an array of shape {array.shape}; give (n,), or (n, k) for k columns")
    return {str(number): as_cells(flat[:, number]) for number in range(flat.shape[1])}


def of_frame(frame: "pd.DataFrame", name: str) -> Columns:
    """Return the columns of a table of pandas, with its index, as a CSV file of it has one.

    An index without a name is a column without one; the index that counts rows from 0 on is none.
    Raises InvalidScores where two columns have one name.
    """
    import pandas as pd

    index = frame.index
    counts = isinstance(index, pd.RangeIndex) and index.name is None and index.equals(pd.RangeIndex(len(frame)))
    levels = [] if counts else [index.get_level_values(level) for level in range(index.nlevels)]
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    names = [*("" if level.name is None else str(level.name) for level in levels), *map(str, frame.columns)]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise InvalidScores(f"{name}: of its columns and its index two are called {twice[0]!r}; give one another name")
    cells = (as_cells(column.to_numpy()) for column in (*levels, *columns))
    return dict(zip(names, cells, strict=True))


def _read_csv(path: Path) -> Columns:
    separator, head, rows = read_separated(path, InvalidScores)
    if len(set(head)) < len(head) or any(len(row) > len(head) for row in rows):
        raise InvalidScores(f"{path}: needs a first row of different column names, one for each value of a row")
    padded = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    columns = {name: [row[place] for row in padded] for place, name in enumerate(head)}
    if separator != ",":
        slides = find_column(head, OF_SLIDES)
        columns |= {name: [*map(with_decimal_point, columns[name])] for name in head if name != slides}
    return {name: np.array(cells, object) for name, cells in columns.items()}


def _read_parquet(path: Path) -> Columns:
    return of_frame(read_parquet(path, InvalidScores), str(path))


def _read_npy(path: Path) -> Columns:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidScores(f"{path}: cannot be read as an array of numpy ({error}); write it again") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InvalidScores(f"{path}: holds several arrays, as .npz does; save the one of the scores by numpy.save")
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
    columns: dict[str, NDArray[Any]] = {}
    for of_dataset in (_of_dataset(name, array) for name, array in arrays.items()):
        if twice := [name for name in of_dataset if name in columns]:
            raise InvalidScores(f"{path}: two datasets give a column {twice[0]}; rename the one that is not meant")
        columns |= of_dataset
    return columns


def _of_dataset(name: str, array: NDArray[Any]) -> Columns:
    """Return the columns of a dataset; those of places are called x and y in the group of the dataset."""
    group, slash, own = name.rpartition("/")
    lengths = [length for length in array.shape[:-1] if length != 1]
    if bare_name(own) in COORDS and array.ndim > 1 and array.shape[-1] > 1 and len(lengths) < 2:
        places = array.reshape(-1, array.shape[-1])
        return {f"{group}{slash}x": places[:, 0], f"{group}{slash}y": places[:, 1]}
    if sum(length != 1 for length in array.shape) > 2:
        return {}
    columns = of_array(array, name)
    return {name if len(columns) == 1 else f"{name}/{number}": values for number, values in columns.items()}


READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
}
"""Suffix to what reads it."""
