"""Which worker computes what: decisions alone, from numbers."""

from collections.abc import Collection, Mapping, Sequence
from math import ceil
from typing import TypeVar

Key = TypeVar("Key")

READERS_OF_A_GPU = 4
"""Cores that a GPU is given for each one that a worker on the CPU is given: they read for thousands of patches/s."""


def largest_first(sizes: Sequence[int]) -> list[int]:
    """Return the places of slides from the largest to the smallest, equals as they stand: no large one comes last.

    Workers that take them so, each when it is free, end within 4/3 of the best division (Graham 1969,
    doi:10.1137/0117039).
    """
    return sorted(range(len(sizes)), key=lambda place: -sizes[place])


def piece_size(free: int, workers: int, least: int, batch_size: int = 1) -> int:
    """Return how many of the ``free`` patches of a slide one of several workers takes next.

    Half of its even share, so that pieces become smaller towards the end and all workers end together (guided
    self-scheduling, Polychronopoulos & Kuck 1987, doi:10.1109/TC.1987.5009495); whole batches, ``least`` or more, and
    no rest below ``least``.
    """
    share = max(least, ceil(free / (2 * workers)))
    size = -(-share // batch_size) * batch_size
    return free if free - size < least else size


def fullest(remaining: Mapping[Key, int], least: int, without: Collection[Key] = ()) -> Key | None:
    """Return who has the most patches left, of those with two pieces or more; None where nobody has."""
    able = {key: count for key, count in remaining.items() if count >= 2 * least and key not in without}
    return max(able, key=able.__getitem__, default=None)


def share_cores(devices: Sequence[str], cores: int) -> list[int]:
    """Return how many of the cores each device's worker has: all are given, each has one or more.

    A GPU counts as ``READERS_OF_A_GPU`` workers on the CPU.
    """
    weights = [1 if device == "cpu" else READERS_OF_A_GPU for device in devices]
    shares = [max(1, cores * weight // sum(weights)) for weight in weights]
    for place in sorted(range(len(devices)), key=lambda place: -weights[place])[: max(0, cores - sum(shares))]:
        shares[place] += 1
    return shares
