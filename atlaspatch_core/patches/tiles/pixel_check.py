"""Whether tiles show what the slide's reader shows, tried at the corners of a few patches."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.tiles.assembly import Assembly
from atlaspatch_core.patches.tiles.plan import TilePlan, plan_tiles
from atlaspatch_core.slides.slide import Region, Slide
from atlaspatch_core.slides.tiles.codecs import Decode
from atlaspatch_core.slides.tiles.layout import TiledLevel

PROBES = 4
"""Patches that are read both ways before tiles are trusted."""
PROBE_SIDE = 64
"""px of such a patch that are compared: few tiles, hence cheap."""
COLOUR_TOLERANCE = 8
"""Levels of 255 by which the mean colour of such a square may differ at reduced scale; a colour space mistaken for
another shifts it by far more."""


def same_pixels(slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode) -> bool:
    """Whether the corners of a few patches, first to last, are the same bytes by tiles and by the reader."""
    return all(
        shown is not None and np.array_equal(shown, read)
        for shown, read in _probes(slide, grid, level, plan, decode, 1)
    )


def same_colours(slide: Slide, grid: PatchGrid, reduced: TiledLevel, plan: TilePlan, factor: int) -> bool:
    """Whether these corners have the same mean colour by tiles decoded at 1 / ``factor`` and by the reader."""
    return all(
        shown is not None and (abs(shown.mean((0, 1)) - read.mean((0, 1))) <= COLOUR_TOLERANCE).all()
        for shown, read in _probes(slide, grid, reduced, plan, reduced.decoders[0], factor)
    )


def _probes(
    slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode, factor: int
) -> Iterator[tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]]:
    """Yield the corners of a few patches by tiles, None where these cannot be decoded, and by the reader."""
    number, side = grid.sampling.level, min(PROBE_SIDE, grid.sampling.read_size)
    coords = grid.coords[plan.rows[np.linspace(0, len(plan.rows) - 1, PROBES).astype(int)]]
    small = side // factor
    across, down = slide.info.levels[number].downsamples
    probes = plan_tiles(level, coords, (across * factor, down * factor), small)
    pixels = np.empty((len(probes.rows), small, small, 3), np.uint8)
    as_read = replace(grid.sampling, read_size=small, patch_size=small, fill=255)
    with closing(Assembly(level, decode, probes, as_read)) as assembly:
        try:
            assembly.fill(0, len(probes.tiles), pixels)
        except UnreadableSlide:  # the tiles are meant in another way, or damaged, which the reader then says
            yield None, pixels[0]
            return
    for patch, (x, y) in enumerate(coords[probes.rows].tolist()):
        yield pixels[patch], slide.read_region(Region(x, y, number, small * factor, small * factor))
