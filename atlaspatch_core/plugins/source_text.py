"""What plugin files seem to declare, read off their text: nothing is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 1_000_000
"""Of a plugin file that is read."""


def calls_in(path: Path) -> Iterator[ast.Call]:
    """Yield the calls in a Python file; none of one that cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def name_called(call: ast.Call) -> str:
    """Return what is called, without the module before it; empty for what has no name."""
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def argument(call: ast.Call, name: str, place: int | None = None) -> Any:
    """Return the value of an argument by its name, or by its place, where it is written out; None for any other."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
    placed = call.args[place : place + 1] if place is not None else []
    try:
        return ast.literal_eval((named or placed)[0])
    except (IndexError, ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
