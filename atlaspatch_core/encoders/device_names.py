"""What devices are called, and numbered; torch is not imported for it."""

import re
from collections.abc import Iterable, Mapping
from operator import index
from typing import Any

from atlaspatch_core.texts import parse_whole, shortened

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
DEVICES = "auto, cpu, cuda, cuda:0 (or another number) or mps"
MOST_GPU = 9999
"""Beyond any machine's; so numbers stay short enough to be shown."""


def gpu_numbers(given: object) -> tuple[int, ...]:
    """Return the numbers of GPUs, -1 for a worker on the CPU: of a number, of several, or of a text with commas.

    Raises ValueError, in words, for anything else.

    >>> gpu_numbers(0), gpu_numbers("0, 1"), gpu_numbers([-1, -1])
    ((0,), (0, 1), (-1, -1))
    """
    if isinstance(given, str):
        return tuple(_gpu_number(parse_whole(word), word) for word in re.split(r"[,\s]+", given.strip(", ")))
    is_several = isinstance(given, Iterable) and not isinstance(given, bytes | bytearray | Mapping)
    return tuple(_gpu_number(number, number) for number in (given if is_several else (given,)))


def _gpu_number(value: object, given: object) -> int:
    number = _whole(value)
    if number is None or not -1 <= number <= MOST_GPU:
        raise ValueError(
            f"{shortened(given)} is no GPU; give whole numbers from -1, a worker on the CPU, to {MOST_GPU}"
        )
    return number


def _whole(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
