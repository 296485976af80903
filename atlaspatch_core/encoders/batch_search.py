"""The search for the smallest batch that is about as quick as any: pure functions of measured rates."""

from collections.abc import Callable, Mapping

NEAR = 0.97
"""Of the best rate, which the smallest batch is to reach."""
FIRST = 8
"""Patches of the batch that is measured first; each next one is twice as large."""
MOST = 512
"""Patches of the largest batch: slides are read by batches, too, and a few of them wait in memory."""
GAINLESS = 2
"""Doublings in a row that bring nothing end the search."""

Rates = Mapping[int, float | None]
"""Batch size to patches per second; None where the device has no memory for it."""


def next_size(rates: Rates) -> int | None:
    """Return the batch to measure next; None where more would tell nothing."""
    if not rates:
        return FIRST
    fitting = {size: rate for size, rate in rates.items() if rate is not None}
    if not fitting:
        return min(rates) // 2 or None
    largest = max(rates)
    if largest not in fitting or min(fitting) < FIRST or largest * 2 > MOST or _gainless(fitting):
        return None
    return largest * 2


def best_size(rates: Rates) -> int:
    """Return the smallest batch within 3 % of the best rate; 1 where none had memory enough."""
    fitting = {size: rate for size, rate in rates.items() if rate is not None}
    best = max(fitting.values(), default=0.0)
    return min((size for size, rate in fitting.items() if rate >= NEAR * best), default=1)


def search(measure: Callable[[int], float | None]) -> int:
    """Return the smallest batch within 3 % of the best rate; ``measure`` is asked once a size."""
    rates: dict[int, float | None] = {}
    while (size := next_size(rates)) is not None:
        rates[size] = measure(size)
    return best_size(rates)


def _gainless(fitting: Mapping[int, float]) -> bool:
    """Tell whether the largest two batches are no quicker than one before them, but for 3 %."""
    sizes = sorted(fitting)
    if len(sizes) <= GAINLESS:
        return False
    before, last = sizes[:-GAINLESS], sizes[-GAINLESS:]
    return NEAR * max(fitting[size] for size in last) <= max(fitting[size] for size in before)
