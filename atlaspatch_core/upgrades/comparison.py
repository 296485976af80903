"""What a canary found: features of the same patches held against each other."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.wording import format_count

NEARLY_AS_NEAR = 1e-3
"""Cosine by which a neighbour may be farther than the nearest one and still count as it: flat patches are all alike."""
BLOCK = 1024
"""Rows that are held against each other at a time."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What still counts as the same numbers; another device or file format stays well within."""

    least_cosine: float = 0.9999
    """Of every patch's stored and new features."""
    most_norm_change: float = 0.01
    """Of the ratio of their lengths from 1."""
    most_difference: float = 0.05
    """Of any one feature, as a share of the largest stored feature."""
    least_neighbours: float = 0.99
    """Share of patches whose nearest neighbour stays."""


@dataclass(frozen=True, slots=True)
class Canary:
    """What came of it: stored features against new ones of the same patches."""

    slides: int
    patches: int
    least_cosine: float
    mean_cosine: float
    least_norm_ratio: float
    """New length over stored length."""
    most_norm_ratio: float
    most_difference: float
    """Of any one feature, as a share of the largest stored one."""
    neighbours: float
    """Share of patches whose nearest neighbour among all tried patches stays."""
    patches_per_second: float
    """Of the new encoder, reading included."""
    tolerance: Tolerance = field(default_factory=Tolerance)

    @property
    def same(self) -> bool:
        """Whether the numbers are the same within the tolerance."""
        return not self.differences

    @property
    def differences(self) -> tuple[str, ...]:
        """What lies outside the tolerance, each with its bound."""
        bounds = self.tolerance
        norm = max(abs(self.least_norm_ratio - 1), abs(self.most_norm_ratio - 1))
        checks = [
            (self.least_cosine >= bounds.least_cosine, f"cosine {self.least_cosine:.6f} < {bounds.least_cosine}"),
            (norm <= bounds.most_norm_change, f"norm changes by {norm:.2%} > {bounds.most_norm_change:.2%}"),
            (
                self.most_difference <= bounds.most_difference,
                f"a feature changes by {self.most_difference:.2%} of the largest > {bounds.most_difference:.2%}",
            ),
            (
                self.neighbours >= bounds.least_neighbours,
                f"{self.neighbours:.1%} of the nearest neighbours stay < {bounds.least_neighbours:.1%}",
            ),
        ]
        return tuple(text for held, text in checks if not held)

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        tried = f"{self.patches} patches of {format_count(self.slides, 'slide')}"
        if self.same:
            return f"numerically the same: {tried}, cosine at least {self.least_cosine:.6f}"
        return f"different: {tried}, {'; '.join(self.differences)}"

    @property
    def numbers(self) -> dict[str, int | float]:
        """Return the measures under plain names."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}


@dataclass(slots=True)
class CanarySample:
    """Stored and new features of the tried patches of one slide, or its embeddings, each (n, dim)."""

    stored: NDArray[np.float32]
    new: NDArray[np.float32]
    seconds: float
    """That the new ones took, reading included."""


def compare(samples: Sequence[CanarySample], tolerance: Tolerance) -> Canary:
    """Return how new features differ from stored ones; features of another length have nothing in common."""
    stored = np.concatenate([sample.stored for sample in samples])
    new = np.concatenate([sample.new for sample in samples])
    rate = len(new) / max(sum(sample.seconds for sample in samples), 1e-9)
    if stored.shape != new.shape:
        return Canary(len(samples), len(new), -1.0, -1.0, 0.0, 0.0, float("inf"), 0.0, rate, tolerance)
    rows = compare_rows(stored, new)
    return Canary(
        slides=len(samples),
        patches=len(new),
        least_cosine=float(rows.cosines.min()),
        mean_cosine=float(rows.cosines.mean()),
        least_norm_ratio=float(rows.norm_ratios.min()),
        most_norm_ratio=float(rows.norm_ratios.max()),
        most_difference=float(rows.differences.max()),
        neighbours=_neighbours(stored, new),
        patches_per_second=rate,
        tolerance=tolerance,
    )


@dataclass(frozen=True, slots=True, eq=False)
class RowMeasures:
    """How far each new row is from the stored one; every array of shape (n,)."""

    cosines: NDArray[np.float64]
    norm_ratios: NDArray[np.float64]
    """New length over stored length."""
    differences: NDArray[np.float64]
    """Of the feature that differs most, as a share of the largest stored one of all rows."""

    def differing(self, tolerance: Tolerance) -> NDArray[np.bool_]:
        """Tell which rows are not the same within a tolerance."""
        return (
            (self.cosines < tolerance.least_cosine)
            | (np.abs(self.norm_ratios - 1) > tolerance.most_norm_change)
            | (self.differences > tolerance.most_difference)
        )


def compare_rows(stored: NDArray[np.float32], new: NDArray[np.float32]) -> RowMeasures:
    """Return how far the rows of two tables of one shape, (n, dim), are from each other."""
    blocks = [
        _measures(stored[start : start + BLOCK].astype(np.float64), new[start : start + BLOCK].astype(np.float64))
        for start in range(0, len(stored), BLOCK)
    ]
    cosines, ratios, differences = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    return RowMeasures(cosines, ratios, differences / max(np.abs(stored).max(), 1e-30))


def _measures(stored: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return cosines, ratios of lengths, and the largest differences of rows."""
    lengths = np.linalg.norm(stored, axis=1), np.linalg.norm(new, axis=1)
    cosines = (stored * new).sum(axis=1) / np.maximum(lengths[0] * lengths[1], 1e-30)
    return cosines, lengths[1] / np.maximum(lengths[0], 1e-30), np.abs(new - stored).max(axis=1)


def _neighbours(stored: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    """Return the share of rows whose nearest other row of a block, by cosine, stays the nearest, or nearly so."""
    if len(stored) < 2:
        return 1.0
    stay = [
        _nearest_stay(stored[start : start + BLOCK].astype(np.float64), new[start : start + BLOCK].astype(np.float64))
        for start in range(0, len(stored), BLOCK)
    ]
    return float(np.concatenate(stay).mean())


def _nearest_stay(stored: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.bool_]:
    before, after = _similarity(stored), _similarity(new)
    rows = np.arange(len(stored))
    return after[rows, before.argmax(axis=1)] >= after.max(axis=1) - NEARLY_AS_NEAR


def _similarity(features: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-30)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    return cosine
