"""Decoded tiles while some patch needs them."""

import os
from threading import Lock
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tiles.codecs import Decode
from atlaspatch_core.tiles.layout import TiledLevel
from atlaspatch_core.tiles.pieces import PatchPieces
from atlaspatch_core.tiles.plan import TilePlan


@final
class LiveTiles:
    """Decodes tiles, pastes them into patches, and drops each after its last patch. Safe from several threads.

    Owns the open file: close it.
    """

    def __init__(self, level: TiledLevel, decode: Decode, plan: TilePlan) -> None:
        self._level = level
        self._decode = decode
        self._offsets = level.offsets.ravel()
        self._byte_counts = level.byte_counts.ravel()
        self._file = os.open(level.path, os.O_RDONLY)
        self._tiles: dict[int, NDArray[np.uint8] | None] = {}
        self._uses = plan.uses.copy()
        self._spare: list[NDArray[np.uint8]] = []
        self._lock = Lock()

    def close(self) -> None:
        """Release the file and the tiles."""
        os.close(self._file)
        self._tiles.clear()
        self._spare.clear()

    def decode(self, tile: int) -> None:
        """Read and decode the tile of this number; where that fails, it is kept as None."""
        try:
            pixels = self._spare.pop()
        except IndexError:
            pixels = np.empty((self._level.tile_height, self._level.tile_width, 3), np.uint8)
        self._tiles[tile] = pixels if self.decode_into(tile, pixels) else None

    def decode_into(self, tile: int, out: NDArray[np.uint8]) -> bool:
        """Read and decode a tile to ``out`` (tile height, tile width, 3), not keeping it; say whether that worked."""
        offset, byte_count = int(self._offsets[tile]), int(self._byte_counts[tile])
        try:
            self._decode(os.pread(self._file, byte_count, offset), tile, out)
        except (ValueError, RuntimeError, OSError):
            return False
        return True

    def paste(self, patch: PatchPieces, out: NDArray[np.uint8]) -> bool:
        """Fill ``out`` (height, width, 3) with the pieces of a patch; white outside the level.

        False, and ``out`` is not to be used, where one of its tiles could not be decoded.
        """
        if not patch.is_inside:
            out[...] = 255
        for tile, top, bottom, left, right, from_top, to_bottom, from_left, to_right in patch.pieces:
            pixels = self._tiles[tile]
            if pixels is None:
                return False
            out[top:bottom, left:right] = pixels[from_top:to_bottom, from_left:to_right]
        return True

    def release(self, tiles: NDArray[np.int64]) -> None:
        """Say that one patch for each mention of a tile is done; a tile that nobody else needs is dropped."""
        with self._lock:
            np.subtract.at(self._uses, tiles, 1)
            unneeded = np.unique(tiles[self._uses[tiles] == 0]).tolist()
            self._spare += [pixels for tile in unneeded if (pixels := self._tiles.pop(tile, None)) is not None]
