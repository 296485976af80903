"""Whether the stored frames of DICOM are whole: decoders make up what a frame lacks.

Encapsulated pixels are always explicit little endian (PS3.5, A.4), so that a walk over the elements finds the frames
without a DICOM library. They lie tile after tile (TILED_FULL), or each says where its tile lies (TILED_SPARSE). Where
they are not one item each, they are not looked at.
"""

import mmap
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.windows import Window
from atlaspatch_core.slides.tiles.wholeness import check_jpeg, check_jpeg2000

CHECKS: dict[bytes, Callable[[bytes], None]] = {
    b"1.2.840.10008.1.2.4.50": check_jpeg,
    b"1.2.840.10008.1.2.4.51": check_jpeg,
    b"1.2.840.10008.1.2.4.90": check_jpeg2000,
    b"1.2.840.10008.1.2.4.91": check_jpeg2000,
}
"""By transfer syntax: JPEG baseline and extended, JPEG 2000 lossless and not. JPEG-LS tells by itself."""
SYNTAX, ROWS, COLUMNS, PIXELS = 0x00020010, 0x00280010, 0x00280011, 0x7FE00010
WIDTH, HEIGHT = 0x00480006, 0x00480007
"""TotalPixelMatrixColumns and TotalPixelMatrixRows."""
PER_FRAME = 0x52009230
"""PerFrameFunctionalGroupsSequence, in which frames of TILED_SPARSE say where their tiles lie."""
COLUMN_POSITION = re.compile(rb"\x48\x00\x1e\x02SL\x04\x00(.{4})", re.DOTALL)
ROW_POSITION = re.compile(rb"\x48\x00\x1f\x02SL\x04\x00(.{4})", re.DOTALL)
"""Column- and RowPositionInTotalImagePixelMatrix, counted from 1."""
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Types of values whose length has four bytes (PS3.5, 7.1.2)."""
UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one instance: its tiles row by row, once a focal plane, or where ``numbers`` says."""

    data: mmap.mmap
    size: tuple[int, int]
    """Width and height of the level, px."""
    tile: tuple[int, int]
    """The same of a tile."""
    check: Callable[[bytes], None]
    places: tuple[tuple[int, int], ...]
    """Start and length of each."""
    numbers: Mapping[tuple[int, int], Sequence[int]] | None = None
    """Row and column of a tile to its frames, where these lie in an order of their own."""

    @property
    def columns(self) -> int:
        """Tiles in a row."""
        return -(-self.size[0] // self.tile[0])

    @property
    def tiles(self) -> int:
        """Tiles of a focal plane."""
        return self.columns * -(-self.size[1] // self.tile[1])

    def check_tile(self, row: int, column: int) -> None:
        """Raise ValueError where the tile breaks off, on any focal plane."""
        of_plane = range(row * self.columns + column, len(self.places), self.tiles)
        for frame in of_plane if self.numbers is None else self.numbers.get((row, column), ()):
            start, length = self.places[frame]
            try:
                self.check(self.data[start : start + length])
            except ValueError as error:
                raise ValueError(f"the stored frame in row {row}, column {column}: {error}") from error


@final
class FrameChecks:
    """Looks at the frames of windows, each once. Safe from several threads. Owns the files."""

    def __init__(self, files: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
        """``sizes``: width and height of the levels."""
        by_size = {frames.size: frames for file in files[::-1] if (frames := frames_of(file)) is not None}
        self._frames = [by_size.get(size) for size in sizes]
        self._all = tuple(by_size.values())
        self._sound: set[tuple[int, int, int]] = set()

    def check(self, window: Window) -> None:
        """Raise ValueError where a window touches a frame that breaks off or was overwritten."""
        frames = self._frames[window.level]
        if frames is None:
            return
        width, height = frames.tile
        for row in range(window.top // height, -(-(window.top + window.height) // height)):
            for column in range(window.left // width, -(-(window.left + window.width) // width)):
                if (window.level, row, column) not in self._sound:
                    frames.check_tile(row, column)
                    self._sound.add((window.level, row, column))

    def close(self) -> None:
        """Release the files."""
        for frames in self._all:
            frames.data.close()


def frames_of(path: Path) -> Frames | None:
    """Return the frames of an instance; None where they are not tiles in order, or of a compression that tells."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        frames = _frames(data)
    except (struct.error, ValueError, KeyError):
        frames = None
    if frames is None:
        data.close()
    return frames


def _frames(data: mmap.mmap) -> Frames | None:
    values = {tag: (start, length) for tag, start, length in elements(data, 132)}
    start, length = values[SYNTAX]
    check = CHECKS.get(data[start : start + length].strip(b"\0 "))
    if check is None or values[PIXELS][1] != UNDEFINED:
        return None
    _table, *places = items(data, values[PIXELS][0])
    size, tile = sides(data, values)
    corners = corners_in(data, values)
    if corners is None:
        frames = Frames(data, size, tile, check, tuple(places))
        return frames if places and len(places) % frames.tiles == 0 else None
    numbers: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for frame, (x, y) in enumerate(corners):
        numbers[y // tile[1], x // tile[0]].append(frame)
    is_grid = all(x % tile[0] == y % tile[1] == 0 for x, y in corners)
    return Frames(data, size, tile, check, tuple(places), numbers) if is_grid and len(corners) == len(places) else None


def sides(data: mmap.mmap, values: Mapping[int, tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return width and height of the level of an instance, and of its tiles. Raises KeyError where it has none."""
    width, height, columns, rows = (number(data, values[tag]) for tag in (WIDTH, HEIGHT, COLUMNS, ROWS))
    return (width, height), (columns, rows)


def corners_in(data: mmap.mmap, values: Mapping[int, tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Return x, y of the tile of each frame, px of the level from 0; None where frames do not say it."""
    if PER_FRAME not in values:
        return None
    start, length = values[PER_FRAME]
    groups = data[start : end_of_sequence(data, start) if length == UNDEFINED else start + length]
    across, down = (
        [int(struct.unpack("<i", stated)[0]) - 1 for stated in position.findall(groups)]
        for position in (COLUMN_POSITION, ROW_POSITION)
    )
    return list(zip(across, down, strict=True)) if across else None


def stored_frames(files: Sequence[Path], size: tuple[int, int]) -> tuple[NDArray[np.bool_], int, int] | None:
    """Return which tiles of the level of this ``size`` its instances store, (rows, columns), and their sides, px.

    None where the instances store all, as TILED_FULL does, or cannot be followed.
    """
    stored: NDArray[np.bool_] | None = None
    width, height = 1, 1
    for path in files:
        facts = tile_places(path)
        if facts is None or facts[0] != size:
            continue
        _, (width, height), corners = facts
        if corners is None:
            return None
        stored = np.zeros((-(-size[1] // height), -(-size[0] // width)), bool) if stored is None else stored
        for x, y in corners:  # off the grid, a frame covers a part of up to four places of it
            stored[max(0, y // height) : -(-(y + height) // height), max(0, x // width) : -(-(x + width) // width)] = (
                True
            )
    return None if stored is None else (stored, width, height)


def tile_places(path: Path) -> tuple[tuple[int, int], tuple[int, int], list[tuple[int, int]] | None] | None:
    """Return the size of an instance's level, of its tiles, and their corners where these are said; or None."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            values = {tag: (start, length) for tag, start, length in elements(data, 132)}
            return *sides(data, values), corners_in(data, values)
    except (struct.error, ValueError, KeyError, OSError):
        return None


def number(data: mmap.mmap, place: tuple[int, int]) -> int:
    """Return an unsigned number of two or four bytes."""
    start, length = place
    return int(struct.unpack_from("<I" if length == 4 else "<H", data, start)[0])


def elements(data: mmap.mmap, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start of the value and its length, until the pixels, or the end of the item that is walked."""
    while True:
        group, element, kind = struct.unpack_from("<HH2s", data, at)
        tag = group << 16 | element
        if tag == ITEM_END:
            yield tag, at + 8, 0
            return
        start, length = _value_at(data, at, kind)
        yield tag, start, length
        if tag == PIXELS:
            return
        at = end_of_sequence(data, start) if length == UNDEFINED else start + length


def _value_at(data: mmap.mmap, at: int, kind: bytes) -> tuple[int, int]:
    """Return start and length of a value; where no two letters tell its type, types are implicit (PS3.5, 7.1.3)."""
    if not (kind.isalpha() and kind.isupper()):
        return at + 8, int(struct.unpack_from("<I", data, at + 4)[0])
    is_long = kind in LONG
    (length,) = struct.unpack_from("<I" if is_long else "<H", data, at + (8 if is_long else 6))
    return at + (12 if is_long else 8), int(length)


def end_of_sequence(data: mmap.mmap, at: int) -> int:
    """Return where a sequence of undefined length ends."""
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        if group << 16 | element == SEQUENCE_END:
            return at
        if length == UNDEFINED:
            *_, (_tag, at, _length) = elements(data, at)
        else:
            at += length


def items(data: mmap.mmap, at: int) -> Iterator[tuple[int, int]]:
    """Yield start and length of the items of encapsulated pixels, the first of which is the table of offsets."""
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        if group << 16 | element != ITEM:
            return
        yield at + 8, length
        at += 8 + length
