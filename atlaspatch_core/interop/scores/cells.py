"""What cells of a column say: a number, nothing, or something else."""

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.operations.label_tables import MISSING_WORDS
from atlaspatch_core.texts import parse_number, shortened

INFINITE = ("inf", "infinity")
"""What a cell says, with or without a sign, that arrays of numbers can hold, and that no colour can show."""
NUMBERS = "fiub"
"""Kinds of numpy that are numbers on a line; complex ones are none."""


def as_cells(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column of Python's values, but for numbers: texts for bytes, None for what pandas calls missing."""
    if values.dtype.kind not in "SUOc":
        return values
    cells = np.empty(len(values), object)
    cells[:] = [_cell(value) for value in values.tolist()]
    return cells


def _cell(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def are_numbers(values: NDArray[Any]) -> bool:
    """Tell whether all cells of a column hold numbers, or nothing."""
    if values.dtype != object:
        return values.dtype.kind in NUMBERS
    return all(_number(value) is not None for value in values)


def numbers_of(values: NDArray[Any], about: str) -> NDArray[np.float64]:
    """Return a column as numbers, NaN where a cell is empty or infinite. Raises InvalidScores for other cells."""
    if values.dtype.kind in NUMBERS:
        numbers = values.astype(np.float64)
    else:
        numbers = np.array([_number_of(value, about) for value in values], np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _number_of(value: object, about: str) -> float:
    number = _number(value)
    if number is None:
        with_comma = isinstance(value, str) and parse_number(value) is not None
        cure = (
            "write a decimal point, and nothing between thousands"
            if with_comma
            else "leave the cell empty where there is none"
        )
        raise InvalidScores(f"{about}: {shortened(value)} is no number; {cure}")
    return number


def _number(value: object) -> float | None:
    """Return the number that a cell holds; NaN where it is empty, None where it is something else."""
    if isinstance(value, str):
        return _number_in(value)
    if value is None:
        return float("nan")
    try:
        return float(value) if isinstance(value, (Real, Decimal, np.bool_)) else None
    except OverflowError:
        return None


def _number_in(text: str) -> float | None:
    """Return the number of a text; a comma may part thousands, and whoever knows that it does not writes a point."""
    word = text.strip().lower()
    if word in MISSING_WORDS or word.lstrip("+-") in INFINITE:
        return float("nan")
    return None if "," in text else parse_number(text)


def with_decimal_point(text: str) -> str:
    """Return a number with a decimal comma with a point instead; any other text as it is."""
    return text.replace(",", ".") if "," in text and parse_number(text) is not None else text
