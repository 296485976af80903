"""Windows of the levels of a TIFF, read and looked at tile by tile."""

from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.blocks import Blocks
from atlaspatch_core.slides.readers.windows import Window
from atlaspatch_core.slides.stored_bytes import StoredBytes
from atlaspatch_core.slides.tiles.layout import TiledLevel


@final
class StoredTiles:
    """Reads windows of levels tile by tile. Safe from several threads. Owns the open file: close it."""

    def __init__(self, path: Path, levels: list[TiledLevel]) -> None:
        self._levels = levels
        self._file = StoredBytes(path)
        self._blocks = Blocks([(level.tile_width, level.tile_height) for level in levels], self._decoded)
        self._sound: set[tuple[int, int, int]] = set()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3); tiles that are not stored are white."""
        self._need(window)
        return self._blocks.read(window)

    def check(self, window: Window) -> None:
        """Look at each tile of a window that was not looked at yet. Raises ValueError for one that is damaged.

        It is decoded; of JPEG and JPEG 2000, which take long, only the markers are followed.
        """
        level = self._levels[window.level]
        rows, columns = self._need(window)
        for tile in ((window.level, row, column) for row in rows for column in columns):
            if tile not in self._sound:
                self._check_tile(level, *tile)
                self._sound.add(tile)

    def _need(self, window: Window) -> tuple[range, range]:
        """Return the rows and columns of the tiles under a window, once all that is stored of them can be read."""
        level = self._levels[window.level]
        rows = range(window.top // level.tile_height, -(-(window.top + window.height) // level.tile_height))
        columns = range(window.left // level.tile_width, -(-(window.left + window.width) // level.tile_width))
        part = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        self._file.need(level.offsets[part], level.byte_counts[part])
        return rows, columns

    def _check_tile(self, level: TiledLevel, number: int, row: int, column: int) -> None:
        if level.check is None:
            self._decoded(number, row, column)
            return
        try:
            if data := self._stored(level, row, column):
                level.check(data)
        except ValueError as error:
            raise ValueError(f"{level.tile_name(row * level.offsets.shape[1] + column)}: {error}") from error

    def _stored(self, level: TiledLevel, row: int, column: int) -> bytes:
        """Return the bytes of a tile, none where it is not stored."""
        return self._file.read(int(level.byte_counts[row, column]), int(level.offsets[row, column]))

    def close(self) -> None:
        """Release the file and the tiles."""
        self._blocks.forget()
        self._file.close()

    def _decoded(self, number: int, row: int, column: int) -> NDArray[np.uint8] | None:
        """Return the RGB pixels of a tile, or None where none is stored."""
        level = self._levels[number]
        tile, data = row * level.offsets.shape[1] + column, self._stored(level, row, column)
        if not data:
            return None
        out = np.full((level.tile_height, level.tile_width, 3), 255, np.uint8)
        *firsts, last = level.decoders
        for decode in firsts:
            try:
                decode(data, tile, out)
            except (ValueError, RuntimeError):
                continue  # the next way in which the tiles may be meant
            return out
        try:
            last(data, tile, out)
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{level.tile_name(tile)}: {error}") from error
        return out
