"""Patches out of tiles that are read and decoded once."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from threading import Event
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.read_ahead import Piece, cuts, piece_size
from atlaspatch_core.regions import averaged, read_patch
from atlaspatch_core.scale import Sampling
from atlaspatch_core.slide import Region, Slide
from atlaspatch_core.tiles.codecs import Decode
from atlaspatch_core.tiles.layout import TiledLevel, find_tiled_level
from atlaspatch_core.tiles.live import LiveTiles
from atlaspatch_core.tiles.plan import TilePlan, plan_tiles

SHIFTED_TILES = {"leica", "trestle", "ventana"}
"""Vendors whose tiles overlap, or do not begin at (0, 0) of the slide."""
PROBES = 4
"""Patches that are read both ways before tiles are trusted."""
PROBE_SIDE = 64
"""px of such a patch that are compared: few tiles, hence cheap."""


@final
class TileStream:
    """The patches of a grid that stored tiles can serve with the reader's own pixels. Owns an open file: close it."""

    def __init__(self, slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode) -> None:
        self._slide = slide
        self._grid = grid
        self._plan = plan
        self._live = LiveTiles(level, decode, plan)
        self._is_tile = are_tiles(level, plan, grid.sampling)
        self._piece_starts = np.zeros(0, np.int64)
        self._decoded: list[Event] = []

    @property
    def others(self) -> NDArray[np.int64]:
        """Rows of the grid that must be read as regions."""
        return self._plan.others

    def pieces(self, batch_size: int) -> Iterator[Piece]:
        """Yield pieces that decode every tile and cut every patch, row by row; to be read once, in this order."""
        count = len(self._plan.rows)
        pieces = list(cuts(count, piece_size(self._grid.sampling.read_size), batch_size))
        self._piece_starts = np.array([start for start, _ in pieces])
        self._decoded = [Event() for _ in pieces]
        for (start, stop), decoded in zip(pieces, self._decoded, strict=True):
            ends_batch = stop == count or stop % batch_size == 0
            yield Piece(self._plan.rows[start:stop], partial(self._fill, start, stop, decoded), ends_batch)

    def _fill(self, start: int, stop: int, decoded: Event, out: NDArray[np.uint8]) -> None:
        """Write patches start … stop - 1 of the plan to ``out``, and let go of their tiles.

        A patch is cut as soon as its tiles are decoded, while these are in the processor's cache. Those that share a
        tile with an earlier piece come last: by then the thread that decodes it has finished, or nearly.
        """
        needs = self._plan.needs[self._plan.starts[start] : self._plan.starts[stop]]
        owners = self._plan.first_patch[needs]
        shared = []
        try:
            for patch in range(start, stop):
                if self._is_tile[patch]:
                    self._decode_whole(patch, out[patch - start])
                elif self._decode(patch) < start:
                    shared.append(patch)
                else:
                    self._cut(patch, out[patch - start])
        finally:
            decoded.set()
        pieces = np.searchsorted(self._piece_starts, owners[owners < start], side="right") - 1
        for piece in np.unique(pieces).tolist():
            self._decoded[piece].wait()
        for patch in shared:
            self._cut(patch, out[patch - start])
        self._live.release(needs)

    def _decode_whole(self, patch: int, out: NDArray[np.uint8]) -> None:
        """Write a patch that is one tile, which no other patch needs, to ``out``."""
        if not self._live.decode_into(int(self._plan.tiles_of(patch)[0]), out):
            self._read(patch, out)

    def _decode(self, patch: int) -> int:
        """Decode the tiles that no earlier patch needs; return the earliest patch that shares a tile with this one."""
        tiles = self._plan.tiles_of(patch)
        owners = self._plan.first_patch[tiles]
        for tile in tiles[owners == patch].tolist():
            self._live.decode(tile)
        return int(owners.min())

    def _cut(self, patch: int, out: NDArray[np.uint8]) -> None:
        """Write one patch to ``out`` (patch_size, patch_size, 3); all its tiles are decoded."""
        sampling, plan = self._grid.sampling, self._plan
        direct = sampling.read_size == sampling.patch_size
        square = out if direct else np.empty((sampling.read_size, sampling.read_size, 3), np.uint8)
        if not self._live.paste(plan.corners[patch], plan.tiles_of(patch), square):
            self._read(patch, out)
        elif not direct:
            out[...] = averaged(square, sampling.patch_size)

    def _read(self, patch: int, out: NDArray[np.uint8]) -> None:
        """Write one patch to ``out`` through the slide's reader, which shows or says what is wrong with a tile."""
        x, y = self._grid.coords[self._plan.rows[patch]].tolist()
        out[...] = read_patch(self._slide, x, y, self._grid.sampling)

    def close(self) -> None:
        """Release the file and the tiles."""
        self._live.close()


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


def are_tiles(level: TiledLevel, plan: TilePlan, sampling: Sampling) -> NDArray[np.bool_]:
    """Return (n,): which patches are exactly one tile that no other patch needs."""
    size = sampling.read_size
    if not level.tile_width == level.tile_height == sampling.read_size == sampling.patch_size:
        return np.zeros(len(plan.rows), np.bool_)
    inside = plan.corners + size <= (level.width, level.height)
    alone = plan.uses[plan.needs[plan.starts[:-1]]] == 1
    return alone & (inside & (plan.corners % size == 0)).all(axis=1)


def _same_pixels(slide: Slide, grid: PatchGrid, level: TiledLevel, plan: TilePlan, decode: Decode) -> bool:
    """Whether the corners of a few patches, first to last, are the same bytes by tiles and by the reader."""
    number, side = grid.sampling.level, min(PROBE_SIDE, grid.sampling.read_size)
    coords = grid.coords[plan.rows[np.linspace(0, len(plan.rows) - 1, PROBES).astype(int)]]
    probes = plan_tiles(level, coords, slide.info.levels[number].downsample, side)
    pixels = np.empty((side, side, 3), np.uint8)
    with closing(LiveTiles(level, decode, probes)) as live:
        for tile in probes.tiles.tolist():
            live.decode(tile)
        for patch, (x, y) in enumerate(coords[probes.rows].tolist()):
            decoded = live.paste(probes.corners[patch], probes.tiles_of(patch), pixels)
            if not decoded or not np.array_equal(pixels, slide.read_region(Region(x, y, number, side, side))):
                return False
    return True
