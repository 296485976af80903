"""Tables by name, and what to say of a name that is in none."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeVar

from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.errors import UnknownName

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


def by_name(*encoders: Encoder) -> Mapping[str, Encoder]:
    """Return canonical name to declaration; a name or alias that occurs twice is a ValueError."""
    table = {encoder.name: encoder for encoder in encoders}
    if len(by_any_name(table)) != sum(1 + len(encoder.aliases) for encoder in encoders):
        raise ValueError(f"an encoder's name or alias occurs twice among {sorted(table)}")
    return MappingProxyType(table)


def by_any_name(table: Mapping[str, Encoder]) -> dict[str, Encoder]:
    """Return names and aliases, in lower case, to declarations."""
    return {word.lower(): encoder for encoder in table.values() for word in (encoder.name, *encoder.aliases)}


class NameNotFound(UnknownName):
    """No encoder has this name, nor one of which it is a part."""


def unknown(kind: str, name: str, names: Iterable[str]) -> UnknownName:
    """Return the error for a name that is not known: the nearest names, or how to list all when none is near."""
    near = get_close_matches(name.lower(), list(names), n=4, cutoff=0.5)
    others = f"near names: {', '.join(near)}" if near else "no name is near, and 'atlaspatch encoders' lists them"
    return NameNotFound(f"no {kind} is called {name or repr(name)}; {others}")
