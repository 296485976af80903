"""Shards: slides in parts of about equal work, on which processes agree without a word between them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import Annotated, Self

from atlaspatch_core.errors import InvalidShard
from atlaspatch_core.option import Option, option_fields
from atlaspatch_core.texts import parse_whole, shortened

TEXT = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*")
ARRAY = "SLURM_ARRAY_TASK"
CURE = "give the part by --shard, as in --shard 3/8, or --shard 1/1 for all slides"


@option_fields
class ShardFields:
    """Which part of the slides a command takes; a project has all."""

    shard: Annotated[
        str | None,
        Option(
            "Only part i of n of the slides, such as 3/8; the n parts together are all of them, each slide once, with "
            "about the same number of expected patches.",
            flags=("--shard",),
            unset="the place of a task in its Slurm array, else all slides",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of several, counted from 1."""

    number: int
    count: int
    origin: str = ""
    """What named it, where nobody typed it."""

    def __post_init__(self) -> None:
        """Raise InvalidShard for a part that there is not."""
        if not 1 <= self.number <= self.count:
            raise InvalidShard(f"{self} is no part: give i/n with i from 1 to n, such as 3/8")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``i/n`` says. Raises InvalidShard."""
        if match := TEXT.fullmatch(text):
            return cls(int(match[1]), int(match[2]))
        raise InvalidShard(f"{shortened(text)} is no part: give i/n with i from 1 to n, such as 3/8")

    @classmethod
    def of_array(cls, environment: Mapping[str, str]) -> Self | None:
        """Return the part of a task of a Slurm array; None outside of one. Raises InvalidShard.

        Tasks may begin at any number and have steps: ``i = (ID - MIN) / STEP + 1`` and ``n = COUNT`` of Slurm's
        variables. An array that lists tasks, as a second start of those that failed does, divides nothing evenly.
        """
        if not environment.get(f"{ARRAY}_ID"):
            return None
        task, count = _number(environment, "ID", None), _number(environment, "COUNT", None)
        first, step = _number(environment, "MIN", 1), max(1, _number(environment, "STEP", 1))
        last = _number(environment, "MAX", first + (count - 1) * step)
        if last != first + (count - 1) * step or (task - first) % step:
            raise InvalidShard(
                f"the Slurm array has {count} tasks from {first} to {last}, which is no row with one step; {CURE}"
            )
        number = (task - first) // step + 1
        if not 1 <= number <= count:
            raise InvalidShard(f"{ARRAY}_ID is {task}, and the array has {count} tasks from {first}; {CURE}")
        return cls(number, count, f"{ARRAY}_ID {task}")


def _number(environment: Mapping[str, str], name: str, default: int | None) -> int:
    """Return a number of the array that a task belongs to. Raises InvalidShard."""
    text = environment.get(f"{ARRAY}_{name}", "" if default is None else str(default))
    number = parse_whole(text)
    if number is None:
        fault = f"is {shortened(text)}, no number" if text else "is not set, though the task is of an array"
        raise InvalidShard(f"{ARRAY}_{name} {fault}; {CURE}")
    return number


def divide(weights: Mapping[str, int], count: int) -> list[dict[str, int]]:
    """Return ``count`` parts of what has weights, each with its own; the order of ``weights`` plays no part.

    The heaviest that is left goes to the lightest part (LPT, Graham 1969), so no part is heavier than the mean and
    the heaviest single weight together.
    """
    parts: list[dict[str, int]] = [{} for _ in range(count)]
    loads = [(0, index) for index in range(count)]
    heapify(loads)
    for key in sorted(weights, key=lambda key: (-weights[key], key)):
        load, index = loads[0]
        parts[index][key] = weights[key]
        heapreplace(loads, (load + weights[key], index))
    return parts
