"""A word on names of encoders by which AtlasPatch and TRIDENT mean different numbers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from atlaspatch_core.cli.logs import notice

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

OTSU_WHOLE = "otsu_whole"
"""What the segmenter otsu is called where TRIDENT's may be meant."""


def tell_shared_names(names: Iterable[str], *, trident: bool = False) -> None:
    """Print one line for each name that both have, saying whose numbers are taken and how to have the others."""
    from atlaspatch_core.encoders.patch import find_patch_encoder
    from atlaspatch_core.encoders.patch.trident import TRIDENT, shared_name

    for key in dict.fromkeys(filter(None, map(shared_name, names))):
        owner, other = ("TRIDENT", "AtlasPatch") if trident else ("AtlasPatch", "TRIDENT")
        dim = find_patch_encoder(TRIDENT[key] if trident else key).dim
        notice(f"{key} is {owner}'s here ({dim} numbers a patch); {other}'s is {other.lower()}-{key}.")


def tell_segmenter(context: click.Context, *, trident: bool = False) -> None:
    """Print one line where otsu was typed, which is the name of two segmenters, saying which one is taken."""
    typed = context.get_parameter_source("segmenter") is ParameterSource.COMMANDLINE
    if not typed or context.params["segmenter"] != "otsu":
        return
    if trident:
        notice(
            "otsu is TRIDENT's here, by the tile (otsu_tiled in other commands); that of encode-slide is otsu_whole."
        )
    else:
        notice("otsu judges the slide as a whole here (otsu_whole in 'atlaspatch run'); TRIDENT's is otsu_tiled.")


def tell_shared_names_of(*projects: "Project") -> None:
    """Print a line for each such name of projects, where they are AtlasPatch's."""
    geometries = [geometry for project in projects for geometry in project.geometry]
    of_slides = [name for geometry in geometries for name in (*geometry.patch_encoders, *geometry.slide_encoders)]
    tell_shared_names([*of_slides, *(name for project in projects for name in project.patients.encoders)])
