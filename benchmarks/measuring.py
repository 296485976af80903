"""How measures are taken and told: what a ratio compares runs in turns, on the same machine, in the same minutes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import dumps
from statistics import median
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table."""

    name: str
    value: float
    goal: str
    """What is aimed at, with its bound; empty where there is none."""
    unit: str = "ratio"
    """``ratio``, or what the value counts."""
    detail: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return one line of JSON."""
        return dumps({"measure": self.name, self.unit: round(self.value, 3), "goal": self.goal, "detail": self.detail})


def in_turns(ways: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return the seconds of each way by round; every round takes each way once, so that all see the same machine."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, taken in zip(ways, seconds, strict=True):
            start = perf_counter()
            way()
            taken.append(perf_counter() - start)
    return seconds


def times_as_fast(quick: Sequence[float], slow: Sequence[float]) -> float:
    """Return the median over rounds of how many times as long the slow way takes."""
    return median(long / short for short, long in zip(quick, slow, strict=True))
