"""How often tests of chance try: a fifth in ``make quick``, once in ``make test``, and more in ``make soak``."""

import os
from typing import Any

from hypothesis import settings

ROUNDS = int(os.environ.get("ATLASPATCH_SOAK_ROUNDS", "1"))
QUICK_SHARE = 0.2
_share = 1.0


def try_fewer() -> None:
    """Let ``examples`` try a fifth, from now on: before test modules are imported."""
    global _share
    _share = QUICK_SHARE


def examples(count: int, **more: Any) -> settings:
    """Return the settings of a property that tries ``count`` examples in ``make test``."""
    return settings(max_examples=max(2, round(count * _share)), deadline=None, **more)
