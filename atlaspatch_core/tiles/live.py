"""Decoded tiles while some patch needs them."""

import os
from threading import Lock
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.tiles.codecs import Decode
from atlaspatch_core.tiles.layout import TiledLevel
from atlaspatch_core.tiles.plan import TilePlan


@final
class LiveTiles:
    """Decodes tiles, pastes them into patches, and drops each after its last patch. Safe from several threads.

    Owns the open file: close it.
    """

    def __init__(self, level: TiledLevel, decode: Decode, plan: TilePlan) -> None:
        self._level = level
        self._decode = decode
        self._plan = plan
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

    def decode(self, tiles: NDArray[np.int64]) -> None:
        """Read and decode the tiles of these numbers; one that cannot be decoded is kept as None."""
        places = zip(
            self._level.offsets.flat[tiles].tolist(), self._level.byte_counts.flat[tiles].tolist(), strict=True
        )
        for tile, (offset, byte_count) in zip(tiles.tolist(), places, strict=True):
            self._tiles[tile] = self._decoded(tile, offset, byte_count)

    def _decoded(self, tile: int, offset: int, byte_count: int) -> NDArray[np.uint8] | None:
        try:
            pixels = self._spare.pop()
        except IndexError:
            pixels = np.empty((self._level.tile_height, self._level.tile_width, 3), np.uint8)
        try:
            self._decode(os.pread(self._file, byte_count, offset), tile, pixels)
        except (ValueError, RuntimeError, OSError):
            return None
        return pixels

    def paste(self, patch: int, out: NDArray[np.uint8]) -> bool:
        """Fill ``out`` (read_size, read_size, 3) with patch number ``patch`` of the plan, white outside the level.

        False, and ``out`` is not to be used, where one of its tiles could not be decoded.
        """
        left, top = self._plan.corners[patch].tolist()
        (first_column, first_row), (last_column, last_row) = (
            self._plan.first_tiles[patch].tolist(),
            self._plan.last_tiles[patch].tolist(),
        )
        right, bottom = min(left + out.shape[1], self._level.width), min(top + out.shape[0], self._level.height)
        out[bottom - top :] = 255
        out[: bottom - top, right - left :] = 255
        width, height, columns = self._level.tile_width, self._level.tile_height, self._level.offsets.shape[1]
        for row in range(first_row, last_row + 1):
            y, y_tile = max(top, row * height), row * height
            y_end = min(bottom, y_tile + height)
            for column in range(first_column, last_column + 1):
                tile = self._tiles[row * columns + column]
                if tile is None:
                    return False
                x, x_tile = max(left, column * width), column * width
                x_end = min(right, x_tile + width)
                out[y - top : y_end - top, x - left : x_end - left] = tile[
                    y - y_tile : y_end - y_tile, x - x_tile : x_end - x_tile
                ]
        return True

    def release(self, start: int, stop: int) -> None:
        """Say that the patches start … stop - 1 of the plan are done; tiles that nobody else needs are dropped."""
        plan, columns = self._plan, self._level.offsets.shape[1]
        touched: list[int] = []
        corners = zip(plan.first_tiles[start:stop].tolist(), plan.last_tiles[start:stop].tolist(), strict=True)
        for (left, top), (right, bottom) in corners:
            touched += [row * columns + column for row in range(top, bottom + 1) for column in range(left, right + 1)]
        with self._lock:
            np.subtract.at(self._uses, touched, 1)
            unneeded = [tile for tile in set(touched) if not self._uses[tile]]
            self._spare += [pixels for tile in unneeded if (pixels := self._tiles.pop(tile)) is not None]
