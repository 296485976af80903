"""Patches out of tiles that are read and decoded once."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.grid import PatchGrid
from atlaspatch_core.read_ahead import Piece, cuts, piece_size
from atlaspatch_core.regions import averaged, read_patch
from atlaspatch_core.slide import Slide
from atlaspatch_core.tiles.codecs import Decode
from atlaspatch_core.tiles.layout import TiledLevel, find_tiled_level
from atlaspatch_core.tiles.live import LiveTiles
from atlaspatch_core.tiles.pieces import PatchPieces, patch_pieces
from atlaspatch_core.tiles.plan import TilePlan, plan_tiles
from atlaspatch_core.tiles.probing import same_colours, same_pixels
from atlaspatch_core.tiles.reduced import dct_factor, reduce_level

SHIFTED_TILES = {"leica", "trestle", "ventana"}
"""Vendors whose tiles overlap, or do not begin at (0, 0) of the slide."""


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

    def __init__(self, slide: Slide, grid: PatchGrid, source: Source) -> None:
        is_full = source.factor == 1
        self.path = "tiles" if is_full else f"tiles dct 1/{source.factor}"
        self.why = (
            "tiles give the reader's own pixels" if is_full else "JPEG tiles can be decoded at the patches' scale"
        )
        self._slide = slide
        self._grid = grid
        self._plan = source.plan
        self._level = source.level
        self._live = LiveTiles(source.level, source.decode, source.plan)
        self._read_size = grid.sampling.read_size // source.factor
        is_patch = self._read_size == grid.sampling.patch_size
        self._is_tile = are_tiles(source.level, source.plan, self._read_size) & is_patch
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
        late: list[tuple[int, PatchPieces]] = []
        square = self._square()
        try:
            for patch, made_of in enumerate(patch_pieces(self._level, self._plan, start, stop, self._read_size), start):
                if self._is_tile[patch]:
                    self._decode_whole(patch, made_of.decodes[0], out[patch - start])
                    continue
                for tile in made_of.decodes:
                    self._live.decode(tile)
                if made_of.is_shared:
                    late.append((patch, made_of))
                else:
                    self._cut(patch, made_of, square, out[patch - start])
        finally:
            decoded.set()
        needs = self._plan.needs[self._plan.starts[start] : self._plan.starts[stop]]
        self._wait_for_owners(needs, start)
        for patch, made_of in late:
            self._cut(patch, made_of, square, out[patch - start])
        self._live.release(needs)

    def _square(self) -> NDArray[np.uint8] | None:
        """Return where a patch is put together before it is averaged; None where it is not."""
        size = self._read_size
        return None if size == self._grid.sampling.patch_size else np.empty((size, size, 3), np.uint8)

    def _wait_for_owners(self, needs: NDArray[np.int64], start: int) -> None:
        """Wait until the earlier pieces have decoded those of the tiles that are theirs."""
        owners = self._plan.first_patch[needs]
        pieces = np.searchsorted(self._piece_starts, owners[owners < start], side="right") - 1
        for piece in np.unique(pieces).tolist():
            self._decoded[piece].wait()

    def _decode_whole(self, patch: int, tile: int, out: NDArray[np.uint8]) -> None:
        """Write a patch that is one tile, which no other patch needs, to ``out``."""
        if not self._live.decode_into(tile, out):
            self._read(patch, out)

    def _cut(self, patch: int, made_of: PatchPieces, square: NDArray[np.uint8] | None, out: NDArray[np.uint8]) -> None:
        """Write one patch to ``out`` (patch_size, patch_size, 3), by way of ``square``; its tiles are decoded."""
        if not self._live.paste(made_of, out if square is None else square):
            self._read(patch, out)
        elif square is not None:
            out[...] = averaged(square, self._grid.sampling.patch_size)

    def _read(self, patch: int, out: NDArray[np.uint8]) -> None:
        """Write one patch to ``out`` through the slide's reader, which shows or says what is wrong with a tile."""
        x, y = self._grid.coords[self._plan.rows[patch]].tolist()
        out[...] = read_patch(self._slide, x, y, self._grid.sampling)

    def close(self) -> None:
        """Release the file and the tiles."""
        self._live.close()


def open_tile_stream(slide: Slide, grid: PatchGrid, dct_factors: Collection[int] = ()) -> TileStream | str:
    """Return the stream of tiles, or the reason why the slide must be read as regions.

    JPEG tiles are decoded at reduced scale where that is one of 1 / ``dct_factors`` and serves all that full tiles do.
    """
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
        if same_pixels(slide, grid, tiled, plan, decode):
            full = Source(tiled, plan, decode)
            return TileStream(slide, grid, reduced(slide, grid, full, dct_factors) or full)
    return "decoded tiles differ from what the reader shows"


def reduced(slide: Slide, grid: PatchGrid, full: Source, factors: Collection[int]) -> Source | None:
    """Return the tiles decoded at the scale of the patches; None where that is not possible or not asked for."""
    factor = dct_factor(grid.sampling)
    if factor is None or factor not in factors:
        return None
    level = reduce_level(full.level, full.decode, factor)
    if level is None:
        return None
    downsample = slide.info.levels[grid.sampling.level].downsample * factor
    plan = plan_tiles(level, grid.coords, downsample, grid.sampling.patch_size)
    if len(plan.rows) < len(full.plan.rows) or not same_colours(slide, grid, level, plan, factor):
        return None
    return Source(level, plan, level.decoders[0], factor)


def are_tiles(level: TiledLevel, plan: TilePlan, size: int) -> NDArray[np.bool_]:
    """Return (n,): which patches, squares of ``size`` px, are exactly one tile that no other patch needs."""
    if not level.tile_width == level.tile_height == size:
        return np.zeros(len(plan.rows), np.bool_)
    inside = plan.corners + size <= (level.width, level.height)
    alone = plan.uses[plan.needs[plan.starts[:-1]]] == 1
    return alone & (inside & (plan.corners % size == 0)).all(axis=1)
