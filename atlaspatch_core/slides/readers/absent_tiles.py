"""Tiles that a slide does not store, and which are shown as background: where they lie."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.dicom_files import instances, is_dicom, is_series_folder
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.slides.tiles.layout import find_tiled_level

SHIFTED_TILES = frozenset({"leica", "trestle", "ventana"})
"""Vendors whose tiles overlap, or do not begin at (0, 0) of the slide."""


@dataclass(frozen=True, slots=True)
class AbsentTiles:
    """The tiles of one level that are not stored."""

    level: int
    side: float
    """The longer side of a tile, level-0 px."""
    boxes: NDArray[np.float64]
    """Shape (n, 4): left, top, right, bottom, level-0 px, within the slide."""


def find_absent_tiles(info: SlideInfo) -> Iterator[AbsentTiles]:
    """Yield what the levels of a TIFF, a Zarr store or a DICOM series lack; nothing for formats that are not looked at.

    Where OpenSlide lacks a tile of a coarser level of Aperio, it shows the finer one.
    """
    stored_info = info.as_stored
    for number, level in enumerate(stored_info.levels):
        if number and (info.reader, info.vendor) == ("openslide", "aperio"):
            return
        stored = stored_tiles(stored_info, number, level)
        if stored is not None and not stored[0].all():
            yield boxes_of(info, number, level, *stored)


def stored_tiles(info: SlideInfo, number: int, level: Level) -> tuple[NDArray[np.bool_], int, int] | None:
    """Return which tiles of a level are stored, (rows, columns), and their width and height, px of the level."""
    if info.reader == "omezarr":
        from atlaspatch_core.slides.readers.omezarr_chunks import stored_chunks

        return stored_chunks(info, number)
    if is_series_folder(info.path) if info.path.is_dir() else is_dicom(info.path):
        from atlaspatch_core.slides.readers.dicom_frames import stored_frames

        return stored_frames(instances(info.path), (level.width, level.height))
    if info.path.is_dir() or info.vendor in SHIFTED_TILES:
        return None
    tiled = find_tiled_level(info.path, level)
    return None if tiled is None else (tiled.byte_counts > 0, tiled.tile_width, tiled.tile_height)


def boxes_of(
    info: SlideInfo, number: int, level: Level, stored: NDArray[np.bool_], width: int, height: int
) -> AbsentTiles:
    """Return where the tiles lie that are not stored."""
    rows, columns = np.nonzero(~stored)
    corners = np.stack([columns * width, rows * height, (columns + 1) * width, (rows + 1) * height], axis=1)
    scales, most = np.array(level.downsamples * 2) / (info.file_px * 2), np.array([info.width, info.height] * 2, float)
    return AbsentTiles(number, float(max(width * scales[0], height * scales[1])), np.minimum(corners * scales, most))
