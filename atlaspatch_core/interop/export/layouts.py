"""The table of layouts; reading it imports none of them, so that commands and jobs can name them."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.errors import UnknownName
from atlaspatch_core.plugins.loading import file_plugins, installed_plugins
from atlaspatch_core.plugins.tables import PluginTable

if TYPE_CHECKING:
    from atlaspatch_core.interop.export.values import ExportLayout

LAYOUTS = ("trident", "clam", "pt", "anndata", "spatialdata", "parquet", "patches", "geojson")
"""The module of each has its name, and declares it under its name in capitals."""


def plugin_layouts(files: Iterable[Path] = ()) -> "dict[str, ExportLayout]":
    """Return the layouts of installed packages and of plugin files, which are executed, by name.

    Raises InvalidProject for a plugin that cannot be used, or that declares a name which is taken.
    """
    from atlaspatch_core.interop.export.values import ExportLayout

    table = PluginTable("EXPORTS", ExportLayout, "a layout")
    return table.of_plugins((*installed_plugins(), *file_plugins(files)), LAYOUTS)


def find_layout(name: str, plugins: Iterable[Path] = ()) -> "ExportLayout":
    """Return the layout of a name, also of an installed package or of a plugin file; all the files are executed.

    Raises UnknownName, and InvalidProject for a plugin that cannot be used.
    """
    files = tuple(plugins)
    layouts = plugin_layouts(files) if files or name not in LAYOUTS else {}
    if name in LAYOUTS:
        return getattr(import_module(f"atlaspatch_core.interop.export.{name}"), name.upper())
    if name not in layouts:
        raise UnknownName(f"there is no layout {name}; choose among {', '.join((*LAYOUTS, *layouts))}")
    return layouts[name]
