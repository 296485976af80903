"""Coords of a geometry that takes those of others: as they were supplied, or laid where its folder lacks a slide."""

from collections.abc import Callable
from pathlib import Path

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import MissingCoords
from atlaspatch_core.layouts.supplied_coords import SuppliedCoords, as_supplied, find_coords, read_coords
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.validity.recipe import TISSUE_MASK, OutputSpec

LAY_THEM = "to have them laid by the rule of the others, take the task coords or all"
"""What to do about a slide that came to a folder of coords that is filled here."""


def supplied_coords(
    work: SlideWork, stage: OutputSpec, lay: Callable[[SlideWork, Geometry], PatchGrid]
) -> SuppliedCoords | None:
    """Return the coords that somebody supplied for the slide; None where the geometry says nothing of such.

    Where the folder of supplied coords is the geometry's own, as in a job of TRIDENT, those of a slide that it lacks
    are laid, once its outlines are known.
    Raises MissingCoords, UnusableCoords.
    """
    geometry = stage.geometry
    if geometry is None or geometry.coords is None:
        return None
    own = work.store.h5(work.stem, geometry.name)
    is_own_folder = geometry.coords.resolve() == own.parent.parent.resolve()
    can_lay = is_own_folder and TISSUE_MASK in work.fingerprints
    try:
        path = find_coords(geometry.coords, work.stem, work.run.recipe.project.names_of)
    except MissingCoords as error:
        if can_lay:
            return as_supplied(own, lay(work, geometry), work.slide_info(), geometry)
        raise MissingCoords(f"{error}; {LAY_THEM}") if is_own_folder else error from None
    if can_lay and work.forced(stage) and _is_same(path, own):
        return as_supplied(own, lay(work, geometry), work.slide_info(), geometry)
    return read_coords(path, work.slide_info(), geometry)


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
