"""The former place of ``atlaspatch_core.interop.export``, for scripts that import it from here."""

from atlaspatch_core.interop.export import LAYOUTS, Choice, Options, export_slides, find_layout

__all__ = ["LAYOUTS", "Choice", "Options", "export_slides", "find_layout"]
