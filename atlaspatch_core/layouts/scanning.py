"""Rows of features looked at once, a block at a time, whatever their number."""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.storage.disk import check_stored

BLOCK_BYTES = 8 * 2**20
"""Features in memory at a time, roughly."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What the values of a table of features are like."""

    rows: int
    dim: int
    not_finite: int
    """Rows that hold NaN or infinite numbers."""
    zero_tail: int
    """Rows at the end that are all zeros: what a killed writer leaves."""
    zero_rows: int
    """Rows elsewhere that are all zeros."""
    constant: bool
    """Whether two or more rows are there, and all are the same."""
    norm_ratio: float
    """Longest to median row; infinite where most rows are zeros."""


def scan(values: Any) -> Scan:
    """Return what the rows of an HDF5 dataset or an array, shape (n, dim), are like; read in blocks.

    Raises OSError for a dataset that claims far more than is stored.
    """
    if isinstance(values, h5py.Dataset):
        check_stored(values)
    rows, dim = values.shape
    step = max(1, BLOCK_BYTES // max(1, dim * 4))
    finite, zero, norms = np.ones(rows, bool), np.zeros(rows, bool), np.zeros(rows, np.float32)
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    for start in range(0, rows, step):
        block = np.asarray(values[start : start + step], np.float32)
        here = slice(start, start + len(block))
        finite[here] = np.isfinite(block).all(axis=1)
        zero[here] = ~block.any(axis=1)
        norms[here] = np.linalg.norm(block, axis=1)
        low, high = np.fmin(low, block.min(axis=0)), np.fmax(high, block.max(axis=0))
    tail = rows - (int(np.flatnonzero(~zero)[-1]) + 1 if not zero.all() else 0)
    constant = rows > 1 and dim > 0 and bool((low == high).all())
    return Scan(rows, dim, int((~finite).sum()), tail, int(zero.sum()) - tail, constant, _ratio(norms))


def _ratio(norms: NDArray[np.float32]) -> float:
    median = float(np.median(norms)) if len(norms) else 0.0
    return float(norms.max()) / median if median else np.inf
