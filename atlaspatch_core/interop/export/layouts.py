"""The table of layouts; reading it imports none of them, so that commands and jobs can name them."""

from importlib import import_module
from typing import TYPE_CHECKING

from atlaspatch_core.errors import UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.interop.export.values import ExportLayout

LAYOUTS = ("trident", "clam", "pt", "anndata", "spatialdata", "parquet", "geojson")
"""The module of each has its name, and declares it under its name in capitals."""


def find_layout(name: str) -> "ExportLayout":
    """Return the layout of a name. Raises UnknownName."""
    if name not in LAYOUTS:
        raise UnknownName(f"there is no layout {name}; choose among {', '.join(LAYOUTS)}")
    return getattr(import_module(f"atlaspatch_core.interop.export.{name}"), name.upper())
