"""Patches put together from tiles: each tile is decoded, goes to all patches that need it, and is gone."""

from threading import Lock
from typing import Protocol, final

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.patches.regions import resampled
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.patches.tiles.overlaps import Part, tile_overlaps
from atlaspatch_core.patches.tiles.plan import TilePlan
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.stored_bytes import StoredBytes
from atlaspatch_core.slides.tiles.codecs import Decode
from atlaspatch_core.slides.tiles.layout import TiledLevel


class Places(Protocol):
    """Where patches go."""

    def __getitem__(self, patch: int, /) -> NDArray[np.uint8]:
        """Return where the patch of this place in the plan goes, shape (patch_size, patch_size, 3)."""
        ...


@final
class Assembly:
    """Decodes the tiles of a plan and writes their parts to patches. Safe from several threads.

    A decoded tile is cut up at once, while it is in the processor's cache, and its memory taken for the next one. Owns
    the open file: close it.
    """

    def __init__(
        self,
        level: TiledLevel,
        decode: Decode,
        plan: TilePlan,
        sampling: Sampling,
    ) -> None:
        self._level, self._decode, self._plan, self._sampling = level, decode, plan, sampling
        read_size, patch_size = sampling.read_size, sampling.patch_size
        self._size, self._patch_size = read_size, patch_size
        self._factor, rest = divmod(read_size, patch_size)
        is_in_place = rest == 0 and sampling.resample == "area"
        self._in_place = (
            _whole_px(level, plan, read_size, self._factor) if is_in_place else np.zeros(len(plan.rows), bool)
        )
        self._direct = read_size == patch_size
        beyond = np.any(plan.corners + read_size > (level.width, level.height), axis=1)
        self._unfinished = beyond | (~self._in_place & (not self._direct))
        """Shape (n,): which patches want more than their parts, once these are there."""
        self._tile_sized = patch_size == read_size == level.tile_width == level.tile_height
        self._all = [0, read_size, 0, read_size]
        """Part of a patch that is one tile, needed by no other: it is decoded where the patch goes."""
        self._offsets, self._byte_counts = level.offsets.ravel().tolist(), level.byte_counts.ravel().tolist()
        self._file = StoredBytes(level.path)
        self._file.expect(level.offsets.ravel()[plan.tiles], level.byte_counts.ravel()[plan.tiles])
        self._parts_left = np.bincount(plan.patches, minlength=len(plan.rows))
        self._squares: dict[int, NDArray[np.uint8]] = {}
        self._spare_squares: list[NDArray[np.uint8]] = []
        self._spare_tiles: list[NDArray[np.uint8]] = []
        self._lock = Lock()

    def close(self) -> None:
        """Release the file and the memory."""
        self._file.close()
        for memory in (self._squares, self._spare_squares, self._spare_tiles):
            memory.clear()

    def fill(self, start: int, stop: int, places: Places) -> None:
        """Decode the tiles start … stop - 1 of the plan, each once, and write what patches need of them.

        Raises UnreadableSlide for a tile that cannot be decoded: another decoder would make something up.
        """
        pixels = self._tile()
        for tile, parts in tile_overlaps(self._level, self._plan, start, stop, self._size):
            if self._tile_sized and len(parts) == 1 and parts[0][1:5] == self._all:
                self._decode_into(tile, places[parts[0][0]])
                continue
            self._decode_into(tile, pixels)
            for part in parts:
                self._paste(part, pixels, places)
        self._spare_tiles.append(pixels)
        for patch in self._completed(start, stop):
            self._complete(patch, places[patch])

    def _tile(self) -> NDArray[np.uint8]:
        try:
            return self._spare_tiles.pop()
        except IndexError:
            return np.empty((self._level.tile_height, self._level.tile_width, 3), np.uint8)

    def _decode_into(self, tile: int, out: NDArray[np.uint8]) -> None:
        """Read and decode a tile to ``out`` (tile height, tile width, 3)."""
        try:
            self._decode(self._file.read(self._byte_counts[tile], self._offsets[tile]), tile, out)
        except (ValueError, RuntimeError, OSError) as error:
            raise UnreadableSlide(
                f"{stem_of(self._level.path)}: {self._level.tile_name(tile)}, cannot be decoded ({error}), the file is "
                f"damaged; {COPY}"
            ) from error

    def _paste(self, part: Part, pixels: NDArray[np.uint8], places: Places) -> None:
        """Write a part of a tile to its patch: as it is, averaged, or put aside until the patch can be averaged."""
        patch, top, bottom, left, right, from_top, to_bottom, from_left, to_right = part
        piece, factor = pixels[from_top:to_bottom, from_left:to_right], self._factor
        if self._direct:
            places[patch][top:bottom, left:right] = piece
        elif self._in_place[patch]:
            out = places[patch][top // factor : bottom // factor, left // factor : right // factor]
            cv2.resize(piece, (out.shape[1], out.shape[0]), dst=out, interpolation=cv2.INTER_AREA)
        else:
            self._square(patch)[top:bottom, left:right] = piece

    def _square(self, patch: int) -> NDArray[np.uint8]:
        """Return where a patch is put together before it is averaged."""
        with self._lock:
            if patch not in self._squares:
                new = not self._spare_squares
                self._squares[patch] = (
                    np.empty((self._size, self._size, 3), np.uint8) if new else self._spare_squares.pop()
                )
            return self._squares[patch]

    def _completed(self, start: int, stop: int) -> list[int]:
        """Return the patches that have all their parts now that these tiles are decoded, and want something more."""
        patches = self._plan.patches[self._plan.starts[start] : self._plan.starts[stop]]
        with self._lock:
            np.subtract.at(self._parts_left, patches, 1)
            whole = self._parts_left[patches] == 0
        return np.unique(patches[whole & self._unfinished[patches]]).tolist()

    def _complete(self, patch: int, out: NDArray[np.uint8]) -> None:
        """Fill a patch outside the level, and resample it, where that is to be done."""
        square = self._squares.pop(patch, None)
        x, y = self._plan.corners[patch].tolist()
        whole = out if square is None else square
        if self._direct or square is not None:
            whole[max(0, self._level.height - y) :] = self._sampling.fill
            whole[:, max(0, self._level.width - x) :] = self._sampling.fill
        if square is not None:
            out[...] = resampled(square, self._patch_size, self._sampling.resample)
            self._spare_squares.append(square)


def _whole_px(level: TiledLevel, plan: TilePlan, size: int, factor: int) -> NDArray[np.bool_]:
    """Return (n,): which patches lie within the level, and no border of tiles cuts a px that is ``factor`` px wide."""
    divisible = level.tile_width % factor == level.tile_height % factor == 0
    inside = plan.corners + size <= (level.width, level.height)
    return np.all((plan.corners % factor == 0) & inside & divisible, axis=1)
