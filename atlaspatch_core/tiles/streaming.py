"""Patches out of tiles that are read and decoded once."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.regions import averaged, read_patch
from atlaspatch_core.scale import Sampling
from atlaspatch_core.slide import Region, Slide
from atlaspatch_core.tiles.codecs import Decode
from atlaspatch_core.tiles.layout import TiledLevel, find_tiled_level
from atlaspatch_core.tiles.live import LiveTiles
from atlaspatch_core.tiles.plan import TilePlan, plan_tiles
from atlaspatch_core.work import Work, cuts, piece_size

SHIFTED_TILES = {"leica", "trestle", "ventana"}
"""Vendors whose tiles overlap, or do not begin at (0, 0) of the slide."""
TILES_AT_ONCE = 16
"""Tiles that one thread decodes before it looks for other work."""
PROBES = 4
"""Patches that are read both ways before tiles are trusted."""


@final
class TileStream:
    """The patches of a grid that stored tiles can serve with the reader's own pixels. Owns an open file: close it."""

    def __init__(self, slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode) -> None:
        self._slide = slide
        self._grid = grid
        self._plan = plan
        self._live = LiveTiles(level, decode, plan)

    @property
    def others(self) -> NDArray[np.int64]:
        """Rows of the grid that must be read as regions."""
        return self._plan.others

    def work(self, batch_size: int) -> Iterator[Work]:
        """Yield the work of decoding every tile and cutting every patch, in the order of the file. To be done once."""
        plan, decoded = self._plan, 0
        count = len(plan.rows)
        for start, stop in cuts(count, piece_size(self._grid.sampling.read_size), batch_size):
            needed = int(np.searchsorted(plan.tiles, plan.last_numbers[stop - 1], side="right"))
            prepare = self._decodes(plan.tiles[decoded:needed])
            decoded = max(needed, decoded)
            ends_batch = stop == count or stop % batch_size == 0
            yield Work(plan.rows[start:stop], prepare, partial(self._fill, start, stop), ends_batch)

    def _decodes(self, tiles: NDArray[np.int64]) -> tuple[partial[None], ...]:
        return tuple(
            partial(self._live.decode, tiles[start : start + TILES_AT_ONCE])
            for start in range(0, len(tiles), TILES_AT_ONCE)
        )

    def _fill(self, start: int, stop: int, out: NDArray[np.uint8]) -> None:
        """Write patches start … stop - 1 of the plan to ``out``, and let go of their tiles."""
        sampling = self._grid.sampling
        direct = sampling.read_size == sampling.patch_size
        square = np.empty((sampling.read_size, sampling.read_size, 3), np.uint8)
        for place, patch in enumerate(range(start, stop)):
            pixels = out[place] if direct else square
            if not self._live.paste(patch, pixels):
                x, y = self._grid.coords[self._plan.rows[patch]].tolist()
                out[place] = read_patch(self._slide, x, y, sampling)
            elif not direct:
                out[place] = averaged(square, sampling.patch_size)
        self._live.release(start, stop)

    def close(self) -> None:
        """Release the file and the tiles."""
        self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tile_stream(slide: Slide, grid: PatchGrid) -> TileStream | str:
    """Return the stream of tiles, or the reason why the slide must be read as regions."""
    level = slide.info.levels[grid.sampling.level]
    if slide.info.vendor in SHIFTED_TILES:
        return f"tiles of {slide.info.vendor} slides overlap or are shifted"
    tiled = find_tiled_level(slide.info.path, level)
    if tiled is None:
        return "the file does not store this level as tiles of 8-bit RGB"
    plan = plan_tiles(tiled, grid.coords, level.downsample, grid.sampling.read_size)
    if not len(plan.rows):
        return "the patches lie between the pixels of this level"
    for decode in tiled.decoders:
        if _same_pixels(slide, grid, tiled, plan, decode):
            return TileStream(slide, grid, tiled, plan, decode)
    return "decoded tiles differ from what the reader shows"


def _same_pixels(slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode) -> bool:
    """Whether a few patches, first to last, are the same bytes by tiles and by the reader."""
    probes = np.unique(np.linspace(0, len(plan.rows) - 1, PROBES).astype(int))
    coords, sampling = grid.coords[plan.rows[probes]], grid.sampling
    sample = plan_tiles(level, coords, slide.info.levels[sampling.level].downsample, sampling.read_size)
    with closing(LiveTiles(level, decode, sample)) as live:
        live.decode(sample.tiles)
        return all(_same_patch(slide, live, sampling, patch, *coords[row]) for patch, row in enumerate(sample.rows))


def _same_patch(slide: Slide, live: LiveTiles, sampling: Sampling, patch: int, x: np.int32, y: np.int32) -> bool:
    side = sampling.read_size
    pixels = np.empty((side, side, 3), np.uint8)
    expected = slide.read_region(Region(int(x), int(y), sampling.level, side, side))
    return live.paste(patch, pixels) and np.array_equal(pixels, expected)
