"""Patches out of tiles that are read and decoded once."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.patches.batch_buffer import PIECE_BYTES, ReadPlan, ReadTask
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.tiles.assembly import Assembly
from atlaspatch_core.patches.tiles.pixel_check import same_colours, same_pixels
from atlaspatch_core.patches.tiles.plan import TilePlan, plan_tiles
from atlaspatch_core.patches.tiles.reduced import dct_factor, reduce_level
from atlaspatch_core.slides.readers.absent_tiles import SHIFTED_TILES
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.slides.tiles.codecs import Decode
from atlaspatch_core.slides.tiles.layout import TiledLevel, find_tiled_level


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Tiles that are known to show what the reader shows."""

    level: TiledLevel
    plan: TilePlan
    decode: Decode
    factor: int = 1
    """How many times smaller than stored the tiles are decoded; ``level`` and ``plan`` are as they are then."""


@final
class TileStream:
    """The patches of a grid that stored tiles can serve. Owns an open file: close it."""

    def __init__(self, grid: PatchGrid, source: Source) -> None:
        is_full = source.factor == 1
        self.path = "tiles" if is_full else f"tiles dct 1/{source.factor}"
        self.why = (
            "tiles give the reader's own pixels" if is_full else "JPEG tiles can be decoded at the patches' scale"
        )
        self._plan = source.plan
        self._tile_bytes = 3 * source.level.tile_width * source.level.tile_height
        self._assembly = Assembly(
            source.level,
            source.decode,
            source.plan,
            replace(grid.sampling, read_size=grid.sampling.read_size // source.factor),
        )

    @property
    def others(self) -> NDArray[np.int64]:
        """Rows of the grid that must be read as regions."""
        return self._plan.others

    def reading(self, batch_size: int) -> ReadPlan:
        """Return the pieces that decode every tile once; to be read once."""
        return ReadPlan(self._plan.rows, self._pieces(batch_size))

    def _pieces(self, batch_size: int) -> Iterator[ReadTask]:
        plan, count = self._plan, len(self._plan.tiles)
        tiles = max(1, PIECE_BYTES // self._tile_bytes)
        for start in range(0, count, tiles):
            stop = min(count, start + tiles)
            furthest = int(plan.patches[plan.starts[start] : plan.starts[stop]].max())
            whole = int(np.searchsorted(plan.last, stop))
            ends = -(-whole // batch_size) if stop == count else whole // batch_size
            fill = partial(self._assembly.fill, start, stop)
            yield ReadTask(fill, furthest // batch_size + 1, ends, (stop - start) * self._tile_bytes)

    def close(self) -> None:
        """Release the file and the memory."""
        self._assembly.close()


def open_tile_stream(slide: Slide, grid: PatchGrid, dct_factors: Collection[int] = ()) -> TileStream | str:
    """Return the stream of tiles, or the reason why the slide must be read as regions.

    JPEG tiles are decoded at reduced scale where that is one of 1 / ``dct_factors`` and serves all that full tiles do.
    """
    level = slide.info.levels[grid.sampling.level]
    if slide.info.vendor in SHIFTED_TILES:
        return f"tiles of {slide.info.vendor} slides overlap or are shifted"
    if slide.info.file_levels:
        return "pixels of the file are averaged to square ones"
    tiled = find_tiled_level(slide.info.path, level)
    if tiled is None:
        return "the file does not store this level as tiles of 8-bit RGB"
    plan = plan_tiles(tiled, grid.coords, level.downsamples, grid.sampling.read_size)
    if not len(plan.rows):
        return "the patches lie between the pixels of this level"
    for decode in tiled.decoders:
        if same_pixels(slide, grid, tiled, plan, decode):
            full = Source(tiled, plan, decode)
            return TileStream(grid, reduced(slide, grid, full, dct_factors) or full)
    return "decoded tiles differ from what the reader shows"


def reduced(slide: Slide, grid: PatchGrid, full: Source, factors: Collection[int]) -> Source | None:
    """Return the tiles decoded at the scale of the patches; None where that is not possible or not asked for."""
    factor = dct_factor(grid.sampling)
    if factor is None or factor not in factors:
        return None
    level = reduce_level(full.level, full.decode, factor)
    if level is None:
        return None
    across, down = slide.info.levels[grid.sampling.level].downsamples
    plan = plan_tiles(level, grid.coords, (across * factor, down * factor), grid.sampling.patch_size)
    if len(plan.rows) < len(full.plan.rows) or not same_colours(slide, grid, level, plan, factor):
        return None
    return Source(level, plan, level.decoders[0], factor)
