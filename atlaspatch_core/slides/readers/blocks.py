"""Windows out of blocks: equal rectangles of a level that are decoded whole, the last ones kept."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.windows import Window

CACHE_BYTES = 2**25
"""Decoded blocks that are kept for the next window, as much as OpenSlide keeps of a slide; two blocks at least."""

DecodeBlock = Callable[[int, int, int], NDArray[np.uint8] | None]
"""Level, row and column of a block to its RGB pixels, shape (height, width, 3); None where nothing is stored.

At the right and bottom edge of the level it may be cropped. Safe from several threads.
"""


@final
class Blocks:
    """Reads windows of levels block by block. Safe from several threads."""

    def __init__(self, sizes: Sequence[tuple[int, int]], decode: DecodeBlock) -> None:
        """``sizes``: width and height of a block of each level, px of that level."""
        self._sizes = tuple(sizes)
        largest = max(width * height * 3 for width, height in sizes)
        self._block = lru_cache(max(2, CACHE_BYTES // largest))(decode)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3); blocks that are not stored are white."""
        block_width, block_height = self._sizes[window.level]
        right, bottom = window.left + window.width, window.top + window.height
        result = np.full((window.height, window.width, 3), 255, np.uint8)
        for row in range(window.top // block_height, -(-bottom // block_height)):
            y = row * block_height
            top, end = max(y, window.top), min(y + block_height, bottom)
            for column in range(window.left // block_width, -(-right // block_width)):
                x = column * block_width
                left, stop = max(x, window.left), min(x + block_width, right)
                pixels = self._block(window.level, row, column)
                if pixels is not None:
                    piece = pixels[top - y : end - y, left - x : stop - x]
                    result[top - window.top : end - window.top, left - window.left : stop - window.left] = piece
        return result

    def forget(self) -> None:
        """Let go of the blocks that are kept."""
        self._block.cache_clear()
