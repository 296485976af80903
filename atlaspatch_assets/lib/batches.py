"""Batches: what shares a run or a call."""

from collections.abc import Iterator, Sequence

SECONDS_BETWEEN_TICKS = 30
"""Least time between two looks of a sensor."""


def in_batches(keys: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield the keys in order, at most ``size`` at a time."""
    for start in range(0, len(keys), size):
        yield list(keys[start : start + size])
