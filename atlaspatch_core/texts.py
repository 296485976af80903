"""What people and programs write, as it is read everywhere: text, JSON, numbers, and names of files."""

import json
import os
import re
from collections.abc import Collection
from math import inf, isfinite
from pathlib import Path
from typing import Any

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"[+-]?[0-9]+")
MOST_DIGITS = 300
"""Beyond which a float is infinite; Python refuses texts of 4,300 with an error of its own."""
LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes, of a name between slashes and of all of it, on Linux and macOS."""
SHOWN = 40


def decode_text(content: bytes) -> str:
    """Return UTF-8, with or without a byte order mark, or UTF-16 with one, as text. Raises UnicodeDecodeError."""
    return content.decode("utf-16" if content[:2] in UTF_16 else "utf-8-sig")


def parse_json(content: str | bytes) -> Any:
    """Return what JSON says. Raises ValueError, also where it is nested so deeply that it cannot be parsed."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_number(text: str) -> float | None:
    """Return a finite number of plain digits, with a decimal point or comma, or None: ``1_0`` and ``inf`` are none."""
    text = text.strip()
    value = float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None
    return value if value is not None and isfinite(value) else None


def parse_whole(text: str) -> int | None:
    """Return a whole number of plain digits, or None."""
    text = text.strip()
    return int(text) if WHOLE.fullmatch(text) and len(text) <= MOST_DIGITS else None


def parse_whole_or(value: object, words: Collection[str], least: int) -> int | str:
    """Return a whole number of ``least`` or more, or one of a few words in any case of letters; texts are read as such.

    Raises ValueError for anything else, truth values among them.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in words:
        return text
    number: float | None = parse_whole(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    if number is None or number % 1 or not least <= number < inf:
        raise ValueError(f"is no number of {least} or more, and not {' or '.join(words)}")
    return int(number)


def shortened(value: object) -> str:
    """Return a value as a sentence can show it: on one line, and the beginning of one that is long."""
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:  # of a number with more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 3 * SHOWN else f"{text[:SHOWN]}…"


def path_fault(path: Path) -> str:
    """Return in a clause why nothing can lie at a path, or an empty text."""
    if "\0" in str(path):
        return f"{shortened(str(path))} has a NUL character, which no path has; correct it"
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_NAME:
        return f"{shortened(str(path))} has a name of {longest} bytes, more than {LONGEST_NAME}; shorten it"
    length = len(os.fsencode(path))
    return f"{shortened(str(path))} has {length} bytes, more than {LONGEST_PATH}" if length > LONGEST_PATH else ""


def is_there(path: Path) -> bool:
    """Tell whether a file or folder is there, also of a path at which nothing can lie."""
    return not path_fault(path) and path.exists()
