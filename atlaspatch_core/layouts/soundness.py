"""Whether the values of a result are what they should be, whoever made it: one set of bounds for every audit."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.layouts.scanning import scan
from atlaspatch_core.tissue.quality import QualityFinding

LARGEST_RATIO_OF_NORMS = 100.0
"""Longest to median norm of a slide's patch features; encoders stay below 10, broken pixels and overflows do not."""
ODD = ("zero_rows", "norms")
"""Findings on features that can be used all the same."""


def held(name: str, value: float, bound: float, wrong: str, right: str = "", *, least: bool = False) -> QualityFinding:
    """Return a value held against its bound, at most or, with ``least``, at least."""
    passed = value >= bound if least else value <= bound
    return QualityFinding(name, bool(passed), float(value), float(bound), right if passed else wrong)


def check_rows(rows: int, patches: int, name: str = "rows") -> QualityFinding:
    """Return whether there is one row per patch."""
    return QualityFinding(name, rows == patches, rows, patches, f"{rows} rows for {patches} patches")


def check_features(values: Any) -> Iterator[QualityFinding]:
    """Yield what an HDF5 dataset or an array of features, shape (n, dim), is held against; it is read in blocks."""
    found = scan(values)
    of = f"of {found.rows} rows are"
    yield held("not_finite", found.not_finite, 0, f"{found.not_finite} {of} not finite")
    yield held("zero_tail", found.zero_tail, 0, f"the last {found.zero_tail} {of} zeros")
    yield held("zero_rows", found.zero_rows, 0, f"{found.zero_rows} {of} zeros")
    if not found.zero_tail:
        yield held("constant", found.constant, 0, f"all {found.rows} rows are the same")
    if found.rows and not found.not_finite and not found.zero_tail:
        wrong = f"the longest row is {found.norm_ratio:.4g} times as long as the median one"
        yield held("norms", found.norm_ratio, LARGEST_RATIO_OF_NORMS, wrong)


def check_embedding(values: Any) -> Iterator[QualityFinding]:
    """Yield what an embedding, shape (dim,) or (1, dim), is held against."""
    found = scan(np.asarray(values[()], np.float32).reshape(-1, 1))
    yield held("not_finite", found.not_finite, 0, f"{found.not_finite} of {found.rows} numbers are not finite")
    if not found.not_finite:
        yield held("constant", found.constant, 0, f"all {found.rows} numbers are the same")


def text_of(findings: Iterable[QualityFinding], *, but: tuple[str, ...] = ()) -> str:
    """Return in words what did not pass, empty where all did; findings named in ``but`` do not count."""
    return "; ".join(it.text for it in findings if not it.passed and it.name not in but)


def count_beyond(corners: NDArray[np.int64], size: Any, reach: int = 1) -> int:
    """Return how many patches, of ``reach`` px, reach over the right or bottom edge of a slide of so many px."""
    return int(np.count_nonzero((corners + reach > np.asarray(size)).any(axis=1)))


def count_negative(corners: NDArray[np.int64]) -> int:
    """Return how many patches begin left of the slide, or above it."""
    return int(np.count_nonzero((corners < 0).any(axis=1)))
