"""The names under which functions enter identities: declared, so that code may be renamed and no result goes stale."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def named(name: str) -> Callable[[Function], Function]:
    """Return a decorator that gives a function its name in identities; another name makes its results stale."""

    def declare(function: Function) -> Function:
        function.declared_name = name  # type: ignore[attr-defined]
        return function

    return declare


def declared_name(function: Callable[..., Any], otherwise: str | None = None) -> str:
    """Return a function's name in identities: the declared one, or that in the code of a plugin."""
    declared = getattr(function, "declared_name", None) or getattr(function, "__qualname__", None)
    return declared or otherwise or repr(function)
