"""Which rows are encoded again to prove features: some of every kind of patch, and the words for what they show."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.adopt.foreign_slide import match_rows
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.slides.slide import SlideInfo

EDGE, RIM, INSIDE = "at the edge", "at the tissue rim", "inside"
"""Kinds of patches, in the order in which rows are drawn: over the slide's edge, beside glass, all others."""
LOW_TISSUE = 0.5
"""Patches with a smaller tissue share are at the rim, whatever lies beside them."""
SMALLEST = 6
"""Most rows of a sample, however few are asked for: the first and last here and there, and the kinds not among them."""
Rows = NDArray[np.int64]
"""Shape (n,): numbers of rows."""
Verify = int | Literal["all"]
"""How many rows are encoded again: at least one of each kind; 0 none."""


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """The rows that are tried, of all that there are."""

    rows: Rows
    """In rising order."""
    total: int
    strata: Mapping[str, Rows]
    """Kind to the rows of that kind, tried or not; together they are all rows."""

    @property
    def is_whole(self) -> bool:
        """Whether all rows are tried."""
        return len(self.rows) == self.total

    @property
    def text(self) -> str:
        """How many rows of each kind are tried, in words."""
        if self.is_whole:
            return f"all {self.total} rows"
        shares = [f"{share_of(np.isin(rows, self.rows).sum(), len(rows))} {kind}" for kind, rows in self.strata.items()]
        return f"{len(self.rows)} of {self.total} rows, among them {', '.join(shares)}"

    @property
    def counts(self) -> dict[str, list[int]]:
        """Kind to how many of its rows are tried, and how many there are."""
        return {kind: [int(np.isin(rows, self.rows).sum()), len(rows)] for kind, rows in self.strata.items()}

    def describe_differing(self, differing: NDArray[np.bool_]) -> str:
        """Return how many tried rows of each kind differ, in words; ``differing`` is one flag a tried row."""
        rows = self.rows[differing]
        tried = {kind: np.intersect1d(of_kind, self.rows) for kind, of_kind in self.strata.items()}
        counts = {kind: (int(np.isin(of_kind, rows).sum()), len(of_kind)) for kind, of_kind in tried.items()}
        return ", ".join(f"{count} of {of} tried {kind}" for kind, (count, of) in counts.items() if count)


def share_of(count: int, total: int) -> str:
    """Return ``all 5``, or ``3 of 5``."""
    return f"all {total}" if count == total else f"{count} of {total}"


def draw_rows(grid: PatchGrid, info: SlideInfo, theirs: NDArray[np.int64], verify: Verify, seed: str) -> RowSample:
    """Return the rows of a grid that are to be tried: ``verify`` in all, or as many as there are kinds if that is more.

    Among them are the first and the last row, here and among the corners of ``theirs`` (n, 2); half are for patches
    over the edge, so that all of these are tried where they are few; half of the rest for the tissue rim, from the
    patch with the least tissue on. The same ``seed`` draws the same rows.
    """
    strata, total = strata_of(grid, info), len(grid)
    if verify == "all" or verify >= total:
        return RowSample(np.arange(total), total, strata)
    ends = match_rows(grid.coords.astype(np.int64), theirs[[0, -1]]) if len(theirs) else np.zeros(0, np.int64)
    drawn = {0, total - 1, *ends[ends >= 0].tolist()}
    rng = random.Random(seed)
    for place, (kind, rows) in enumerate(strata.items()):
        missing, *missing_later = (drawn.isdisjoint(of_kind.tolist()) for of_kind in list(strata.values())[place:])
        remaining = verify - len(drawn) - sum(missing_later)
        quota = max(remaining if kind == INSIDE else -(-remaining // 2), int(missing))
        drawn |= set(_draw(kind, [row for row in rows.tolist() if row not in drawn], quota, grid, rng))
    rest = [row for row in range(total) if row not in drawn]
    drawn |= set(rng.sample(rest, max(0, verify - len(drawn))))
    return RowSample(np.array(sorted(drawn), np.int64), total, strata)


def strata_of(grid: PatchGrid, info: SlideInfo) -> dict[str, Rows]:
    """Return the rows of each kind of patch that there is; every row is of one."""
    over = (grid.coords + grid.sampling.patch_size_level0 > (info.width, info.height)).any(axis=1)
    at_rim = ~over & (_lacks_neighbour(grid) | (grid.tissue_fraction < LOW_TISSUE))
    kinds = {EDGE: over, RIM: at_rim, INSIDE: ~over & ~at_rim}
    return {kind: np.flatnonzero(of_kind) for kind, of_kind in kinds.items() if of_kind.any()}


def _lacks_neighbour(grid: PatchGrid) -> NDArray[np.bool_]:
    """Tell of each patch whether one of the eight places beside it has none."""
    corners, step = grid.coords.astype(np.int64), grid.sampling.step_size_level0
    around = [(x * step, y * step) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    return np.any([match_rows(corners, corners + shift) < 0 for shift in around], axis=0)


def _draw(kind: str, rows: Sequence[int], quota: int, grid: PatchGrid, rng: random.Random) -> Iterable[int]:
    """Return ``quota`` rows, all where there are not more; of the rim from little to much tissue."""
    if len(rows) <= quota or quota <= 0:
        return rows if quota > 0 else ()
    if kind != RIM:
        return rng.sample(rows, quota)
    by_tissue = sorted(rows, key=lambda row: float(grid.tissue_fraction[row]))
    return [by_tissue[place] for place in np.linspace(0, len(rows) - 1, quota).astype(int)]
