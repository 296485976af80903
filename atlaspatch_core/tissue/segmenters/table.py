"""The table of segmenters: those of this package, and those of plugins."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from atlaspatch_core.errors import UnknownName
from atlaspatch_core.plugins.loading import file_plugins, installed_plugins
from atlaspatch_core.plugins.tables import PluginTable
from atlaspatch_core.tissue.segmenters.declaration import Segmenter
from atlaspatch_core.tissue.spec import SEGMENTER_NAMES

SEGMENTERS: dict[str, Segmenter] = {
    name: getattr(import_module(f"{__package__}.{name}"), name.upper()) for name in SEGMENTER_NAMES
}
"""Every segmenter of this package by its name; listing them loads no network."""
OF_PLUGINS = PluginTable("SEGMENTERS", Segmenter, "a segmenter")
NO_SEGMENTERS: Mapping[str, Segmenter] = MappingProxyType({})


def plugin_segmenters(files: Iterable[Path] = ()) -> dict[str, Segmenter]:
    """Return the segmenters of installed packages and of plugin files, which are executed, by name.

    Raises InvalidProject for a plugin that cannot be used, or that declares a name which is taken.
    """
    return OF_PLUGINS.of_plugins((*installed_plugins(), *file_plugins(files)), SEGMENTERS)


def find_segmenter(name: str, plugins: Mapping[str, Segmenter] = NO_SEGMENTERS) -> Segmenter:
    """Return the segmenter of that name, also of ``plugins``. Raises UnknownName, which lists the names there are."""
    segmenters = {**SEGMENTERS, **plugins}
    if name not in segmenters:
        raise UnknownName(f"there is no segmenter {name!r}; choose one of {', '.join(sorted(segmenters))}")
    return segmenters[name]
