"""What plugins add to a table of this package: things of one kind, by their names."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.plugins.loading import Plugin

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class Declaration(Protocol):
    """A dataclass that plugins declare."""

    @property
    def name(self) -> str:
        """How users call it."""
        ...

    @property
    def plugin(self) -> str | None:
        """Return the sha256 of the plugin file that declares it; None for one of ours."""
        ...


Declared = TypeVar("Declared", bound=Declaration)


@dataclass(frozen=True, slots=True)
class PluginTable(Generic[Declared]):
    """A table that plugins may add to."""

    name: str
    """One of ``loading.TABLES``, as a plugin spells it."""
    kind: type[Declared]
    noun: str
    """With its article, for errors: ``a segmenter``."""

    def of_plugins(self, plugins: Iterable[Plugin], names: Collection[str]) -> dict[str, Declared]:
        """Return what plugins declare for this table, by name; each with its plugin's sha256.

        Raises InvalidProject for a thing of another kind, for what can be no name, and for a name that is one of
        ``names`` or is declared twice.
        """
        declared: dict[str, Declared] = {}
        for plugin in plugins:
            for thing in plugin.tables[self.name]:
                checked = self._checked(thing, plugin, {*names, *declared})
                declared[checked.name] = replace(cast(Any, checked), plugin=plugin.digest)
        return declared

    def _checked(self, thing: object, plugin: Plugin, names: Collection[str]) -> Declared:
        whose = f"the plugin {plugin.origin} declares"
        if not isinstance(thing, self.kind):
            raise InvalidProject(f"{whose} {thing!r} in {self.name}, which is no {self.kind.__name__}")
        if not _NAME.fullmatch(thing.name):
            raise InvalidProject(f"{whose} {thing.name!r}; a name has letters, digits and . _ + - only")
        if thing.name.lower() in map(str.lower, names):
            raise InvalidProject(f"{whose} {thing.name}, and there is {self.noun} of that name; rename it")
        return thing
