"""Batches: what shares a run or a call."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

SECONDS_BETWEEN_TICKS = 30
"""Least time between two looks of a sensor."""


def cohort_batches(keys: Iterable[str], cohorts: Mapping[str, str], size: int) -> Iterator[list[str]]:
    """Yield the keys at most ``size`` at a time, each batch of one cohort where a cohort has enough for one.

    ``cohorts``: key to its cohort. What is left of a cohort is a batch of its own down to an eighth of ``size``; fewer
    share one with neighbours, so that a folder for each patient does not make a run, with its models, of every slide.
    """
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(cohorts.get(key, ""), []).append(key)
    shared: list[str] = []
    for _, group in sorted(groups.items()):
        whole = len(group) // size * size
        whole = len(group) if len(group) - whole >= max(1, size // 8) else whole
        yield from in_batches(group[:whole], size)
        if len(shared) + len(group) - whole > size:
            yield shared
            shared = []
        shared = [*shared, *group[whole:]]
    if shared:
        yield shared


def in_batches(keys: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield the keys in order, at most ``size`` at a time."""
    for start in range(0, len(keys), size):
        yield list(keys[start : start + size])
