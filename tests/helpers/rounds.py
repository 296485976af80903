"""How often tests of chance try: a fifth in ``make quick``, half of their examples in ``make test``, all of them where
``ATLASPATCH_EXAMPLES`` is 1, as in continuous integration; in ``make soak`` as long as told.
"""

import os
import random
import time
import traceback
from collections.abc import Callable
from typing import Any

from hypothesis import settings

SOAK_MINUTES = float(os.environ.get("ATLASPATCH_SOAK_MINUTES", "0"))
"""How long all tests of ``make soak`` take together; none where ``make test`` runs them."""
SEED = os.environ.get("ATLASPATCH_SEED", "")
"""The one round to be repeated."""
QUICK_SHARE = 0.2
_share = float(os.environ.get("ATLASPATCH_EXAMPLES", "0.25"))
_seconds = 0.0


class Chance(random.Random):
    """Numbers of chance, by a seed that is told where a test fails."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def try_fewer() -> None:
    """Let ``examples`` try a fifth, from now on: before test modules are imported."""
    global _share
    _share = QUICK_SHARE


def examples(count: int, **more: Any) -> settings:
    """Return the settings of a property that tries ``count`` examples in continuous integration."""
    return settings(max_examples=max(1, round(count * _share)), deadline=None, **more)


def share_time(tests: int, processes: int) -> None:
    """Give each of the soaking tests its share of the time."""
    global _seconds
    _seconds = 60 * SOAK_MINUTES * min(processes, tests) / max(1, tests)


def soak(count: int, check: Callable[[Chance], object]) -> None:
    """Check in rounds of chance: so many, always the same, in continuous integration; in ``make soak`` ever new ones.

    A fault says how its round is repeated. In ``make soak`` further rounds follow; all faults are raised at the end.
    """
    faults: list[Exception] = []
    first = int(SEED) if SEED else time.time_ns() // 10**6 % 10**9 if SOAK_MINUTES else 0
    end, number, count = time.monotonic() + _seconds, first, max(1, round(count * _share))
    while number == first or (time.monotonic() < end if SOAK_MINUTES else number < first + count and not SEED):
        try:
            check(Chance(number))
        except Exception as fault:
            test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
            fault.add_note(f"this round again: ATLASPATCH_SEED={number} .venv/bin/python -m pytest '{test}'")
            faults.append(fault)
            if not SOAK_MINUTES:
                raise
            traceback.print_exception(fault)
        number += 1
    print(f"{number - first} rounds from seed {first}, {len(faults)} faults")
    if faults:
        raise ExceptionGroup("what was found", faults)
