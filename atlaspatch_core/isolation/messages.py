"""What two processes say to each other: calls, and what came of them; large arrays go through the shared memory."""

import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.isolation.shared_memory import SMALLEST, BlockPlace

MOST_CAUSES = 8
"""Causes of an error that are told."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function that is to be called."""

    number: int
    """By which its answer is known."""
    released: tuple[int, ...]
    """Offsets of blocks that were read."""
    function: bytes
    """The function and its arguments, pickled."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returned, or raised."""

    number: int
    result: bytes
    """Pickled; of an error, the pickles of it and its causes."""
    buffers: tuple[BlockPlace | bytes, ...] = ()
    """Arrays of the result."""
    is_error: bool = False


def pack(value: Any, share: Callable[[memoryview], BlockPlace]) -> tuple[bytes, tuple[BlockPlace | bytes, ...]]:
    """Return a pickled value and its arrays; ``share`` copies a large one into the shared memory."""
    pickled: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=pickled.append)
    buffers = [buffer.raw() for buffer in pickled]
    return data, tuple(share(buffer) if buffer.nbytes >= SMALLEST else bytes(buffer) for buffer in buffers)


def pack_error(error: BaseException) -> bytes:
    """Return a pickled error with its causes; of one that nobody foresaw, with the place where it was raised."""
    if not isinstance(error, Exception):  # a library that wants to end the process ends nobody's work
        error = RuntimeError(repr(error))
    elif isinstance(error, AtlasPatchError):
        error.args = (str(error),)  # without hidden names, while its causes are still those that it quotes
    else:
        error.add_note("".join(traceback.format_exception(error)).rstrip())
    return pickle.dumps([_pickled_error(cause) for cause in _causes(error)])


def unpack_error(data: bytes) -> BaseException:
    """Return the error that ``pack_error`` packed."""
    errors = [pickle.loads(pickled) for pickled in pickle.loads(data)]
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _pickled_error(error: BaseException) -> bytes:
    """Return an error that can be read back; one that cannot is told by its words."""
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:  # a library's error may hold anything
        return pickle.dumps(RuntimeError(repr(error)))
    return data
