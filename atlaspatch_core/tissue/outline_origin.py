"""From where the coordinates of outlines count. Nothing heavy is imported here, so that options may name it."""

from pathlib import Path
from typing import Literal

ORIGIN = "atlaspatch_origin"
"""Property of a feature that says from where its coordinates count: x, y, level-0 px."""
QUPATH_MARKS = ("objectType", "object_type", "isLocked")
"""Properties that QuPath gives every object that it exports."""
OURS = "tissue_id"
"""Property of our outlines, and of TRIDENT's, which QuPath drops when it saves them."""

Origin = Literal["auto", "slide", "bounds"]
"""From where outlines count that do not say so: the corner of the slide, or that of its bounds, as QuPath counts.
``auto``: as QuPath where it drew or saved them."""


TRIDENTS_CRS = b"urn:ogc:def:crs:EPSG::3857"
"""The reference system that TRIDENT states, of which there is none; QuPath drops it when it saves outlines."""
HEAD = 4096
"""Bytes of a file in which it stands."""


def is_of_trident(path: Path) -> bool:
    """Tell whether outlines are as TRIDENT wrote them. Raises OSError."""
    with path.open("rb") as file:
        return TRIDENTS_CRS in file.read(HEAD)
