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


def gpu_numbers(value: Any) -> tuple[int, ...]:
    """Return the numbers of GPUs, -1 for a worker on the CPU: of a number, of several, or of a text with commas.

    Raises ValueError, in words, for anything else.

    >>> gpu_numbers(0), gpu_numbers("0, 1"), gpu_numbers([-1, -1])
    ((0,), (0, 1), (-1, -1))
    """
    if isinstance(value, str):
        return tuple(_checked(parse_whole(word), word) for word in re.split(r"[,\s]+", value.strip(", ")))
    is_several = isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | Mapping)
    return tuple(_checked(_whole(part), part) for part in (value if is_several else (value,)))


def _checked(number: int | None, value: object) -> int:
    """Return the number that was read of a value. Raises ValueError for none, and for one that no GPU has."""
    if number is None or not -1 <= number <= MOST_GPU:
        cure = f"give whole numbers from -1, a worker on the CPU, to {MOST_GPU}"
        raise ValueError(f"{shortened(value)} is no GPU; {cure}")
    return number


def _whole(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
