"""Names that an overlay is asked for by, which need no library to be listed."""

FORMATS = ("png", "ome-tiff", "geojson", "sheet")
FOLDER = "overlays"
"""Where overlays go unless another folder is named; it may lie in the output folder, too."""
MOST_SHOWN = 4096
"""Patches of a sheet with the highest scores, and with the lowest: a picture has to hold them."""
COLOUR_MAPS = ("viridis", "magma", "inferno", "plasma", "cividis", "turbo", "jet", "coolwarm")
"""By the names that matplotlib has for them."""
