"""Whether the values of a result are what they should be, whoever made it: one set of bounds for every audit."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.layouts.scanning import scan
from atlaspatch_core.storage.checksums import file_damage
from atlaspatch_core.storage.damage import dataset_damage, parts_of
from atlaspatch_core.storage.disk import read_whole
from atlaspatch_core.storage.last_line import bytes_damage
from atlaspatch_core.tissue.quality import QualityFinding

LARGEST_RATIO_OF_NORMS = 100.0
"""Longest to median norm of a slide's patch features; encoders stay below 10, broken pixels and overflows do not."""
ODD = ("zero_rows", "norms")
"""Findings on features that can be used all the same."""


def hold_against(
    name: str, value: float, bound: float, wrong: str, right: str = "", *, least: bool = False
) -> QualityFinding:
    """Return a value held against its bound, at most or, with ``least``, at least."""
    passed = value >= bound if least else value <= bound
    return QualityFinding(name, bool(passed), float(value), float(bound), right if passed else wrong)


def check_written(file: Any, names: Iterable[str], *, whole: bool = False) -> QualityFinding:
    """Return whether datasets of an HDF5 file are what was written, by their checksums; values are read in blocks.

    With ``whole``, also the attributes of the file, the list of its datasets, and bytes that hold none of them. What
    has no checksum passes.
    """
    clauses = [f"{name} {clause}" for name in names if name in file and (clause := dataset_damage(file[name]))]
    if whole and (clause := file_damage(file) or _other_bytes(file)):
        clauses.append(clause)
    return hold_against("damaged", len(clauses), 0, "; ".join(clauses), "what lies there is what was written")


def _other_bytes(file: Any) -> str:
    """Return how bytes of a file are not what was written though all that it holds is."""
    clause = bytes_damage(Path(file.filename))
    return clause if clause and not parts_of(file) else ""


def check_rows(rows: int, patches: int, name: str = "rows") -> QualityFinding:
    """Return whether there is one row per patch."""
    return QualityFinding(name, rows == patches, rows, patches, f"{rows} rows for {patches} patches")


def check_features(values: Any) -> Iterator[QualityFinding]:
    """Yield what an HDF5 dataset or an array of features, shape (n, dim), is held against; it is read in blocks."""
    values_scan = scan(values)
    of = f"of {values_scan.rows} rows are"
    yield hold_against("not_finite", values_scan.not_finite, 0, f"{values_scan.not_finite} {of} not finite")
    yield hold_against("zero_tail", values_scan.zero_tail, 0, f"the last {values_scan.zero_tail} {of} zeros")
    yield hold_against("zero_rows", values_scan.zero_rows, 0, f"{values_scan.zero_rows} {of} zeros")
    if not values_scan.zero_tail:
        yield hold_against("constant", values_scan.constant, 0, f"all {values_scan.rows} rows are the same")
    if values_scan.rows and not values_scan.not_finite and not values_scan.zero_tail:
        wrong = f"the longest row is {values_scan.norm_ratio:.4g} times as long as the median one"
        yield hold_against("norms", values_scan.norm_ratio, LARGEST_RATIO_OF_NORMS, wrong)


def check_embedding(values: Any) -> Iterator[QualityFinding]:
    """Yield what an embedding, shape (dim,) or (1, dim), is held against."""
    whole = read_whole(values) if isinstance(values, h5py.Dataset) else values
    values_scan = scan(np.asarray(whole, np.float32).reshape(-1, 1))
    yield hold_against(
        "not_finite",
        values_scan.not_finite,
        0,
        f"{values_scan.not_finite} of {values_scan.rows} numbers are not finite",
    )
    if not values_scan.not_finite:
        yield hold_against("constant", values_scan.constant, 0, f"all {values_scan.rows} numbers are the same")


def check_attention(values: NDArray[np.float32], patches: int | None) -> Iterator[QualityFinding]:
    """Yield what attention, shape (n,) or (n, heads), is held against; None where the patches are not known."""
    if patches is not None:
        yield check_rows(len(values), patches)
    rows = int(np.count_nonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1)))
    yield hold_against("not_finite", rows, 0, f"{rows} of {len(values)} rows are not finite")


def text_of(findings: Iterable[QualityFinding], *, but: tuple[str, ...] = ()) -> str:
    """Return in words what did not pass, empty where all did; findings named in ``but`` do not count."""
    return "; ".join(finding.text for finding in findings if not finding.passed and finding.name not in but)


def count_beyond(corners: NDArray[np.int64], size: Any, reach: int = 1) -> int:
    """Return how many patches, of ``reach`` px, reach over the right or bottom edge of a slide of so many px."""
    return int(np.count_nonzero((corners + reach > np.asarray(size)).any(axis=1)))


def count_negative(corners: NDArray[np.int64]) -> int:
    """Return how many patches begin left of the slide, or above it."""
    return int(np.count_nonzero((corners < 0).any(axis=1)))
