"""Pictures of a slide: its thumbnail, mask, outlines and patches, under the names and looks that people know."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.grid_cells import cell_boxes, cell_squares, fill_cells, is_dark
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide, SlideInfo

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), RGB; covers the whole slide."""

TISSUE = (255, 0, 0)
HOLE = (0, 0, 255)
MASK = (0, 255, 0)
MASK_OPACITY = 80 / 255
LIGHT = (255, 255, 255)


def thumbnail(slide: Slide, longest: int = 1024) -> Picture:
    """Return the slide with its longer side at ``longest`` px, or as it is when smaller; read in bounded memory.

    Raises UnreadableSlide when pixels cannot be decoded.
    """
    info, size = slide.info, picture_size(slide.info, longest)
    overview = read_overview(slide, info.mpp * _shrink(info, longest))
    covered = overview.pixels.shape[1] * overview.downsample, overview.pixels.shape[0] * overview.downsample
    reach = round(size[0] * covered[0] / info.width), round(size[1] * covered[1] / info.height)
    scaled = np.asarray(cv2.resize(overview.pixels, reach, interpolation=cv2.INTER_AREA), np.uint8)
    return _fit(scaled, size)


def picture_size(info: SlideInfo, longest: int) -> tuple[int, int]:
    """Return width and height of the slide's thumbnail, px."""
    shrink = _shrink(info, longest)
    return max(1, round(info.width / shrink)), max(1, round(info.height / shrink))


def _shrink(info: SlideInfo, longest: int) -> float:
    return max(1.0, max(info.width, info.height) / longest)


def draw_contours(picture: Picture, polygons: Iterable[shapely.Polygon], info: SlideInfo, width: int = 2) -> Picture:
    """Return the picture with tissue outlined red, ``width`` px, and holes blue, half of that.

    On a dark slide the lines have a white rim.
    """
    overlay = picture.copy()
    pieces = list(polygons)
    outer = [_scaled(piece.exterior, picture, info) for piece in pieces]
    holes = [_scaled(ring, picture, info) for piece in pieces for ring in piece.interiors]
    for rings, colour, thickness in ((holes, HOLE, max(1, width // 2)), (outer, TISSUE, width)):
        if is_dark(picture):
            cv2.polylines(overlay, rings, True, LIGHT, thickness + 2)
        cv2.polylines(overlay, rings, True, colour, thickness)
    return overlay


def draw_mask(picture: Picture, polygons: Iterable[shapely.Polygon], info: SlideInfo) -> Picture:
    """Return the picture with the tissue under a green veil."""
    inside = mask_picture(picture.shape[:2], polygons, info) > 0
    overlay = picture.copy()
    overlay[inside] = np.round((1 - MASK_OPACITY) * picture[inside] + MASK_OPACITY * np.array(MASK)).astype(np.uint8)
    return overlay


def mask_picture(shape: tuple[int, int], polygons: Iterable[shapely.Polygon], info: SlideInfo) -> NDArray[np.uint8]:
    """Return the mask alone, 255 in tissue and 0 outside; ``shape`` is (height, width) of a picture of the slide."""
    mask = np.zeros(shape, np.uint8)
    for piece in polygons:
        cv2.fillPoly(mask, [_scaled(ring, mask, info) for ring in (piece.exterior, *piece.interiors)], 255)
    return mask


def draw_grid(picture: Picture, grid: PatchGrid, info: SlideInfo) -> Picture:
    """Return the picture with each patch's cell in the colour of its tissue share; a cell is one px or more.

    ``draw_grid_picture`` enlarges the picture where cells are too small to be seen, and adds a legend.
    """
    overlay = picture.copy()
    fill_cells(overlay, cell_boxes(cell_squares(grid), (0, 0), _factor(picture, info)), grid.tissue_fraction)
    return overlay


def encode_jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Return the picture as JPEG. Raises UnwritableOutput where it is too large for one."""
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return the picture, RGB or grey, as PNG. Raises UnwritableOutput where it is too large for one."""
    return _encode(picture, ".png", [])


def encode_small_jpeg(
    picture: Picture, most_bytes: int = 8000, draw: Callable[[Picture], Picture] = lambda picture: picture
) -> bytes:
    """Return a JPEG of at most ``most_bytes``: as large as fits, from 320 px of the longer side down to 64.

    ``draw`` adds outlines after the picture was made small, so that they keep their width.
    """
    data = b""
    for longest in (320, 288, 256, 224, 192, 160, 128, 96, 64):
        small = draw(shrunk(picture, longest))
        for quality in (80, 70, 60, 50, 40):
            data = encode_jpeg(small, quality)
            if len(data) <= most_bytes:
                return data
    return data


def shrunk(picture: Picture, longest: int) -> Picture:
    """Return the picture with its longer side at most ``longest`` px, area-averaged."""
    factor = min(1.0, longest / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    return picture if factor == 1 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _encode(picture: NDArray[np.uint8], suffix: str, options: list[int]) -> bytes:
    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    try:
        done, data = cv2.imencode(suffix, ordered, options)
    except cv2.error:
        done, data = False, np.empty(0, np.uint8)
    if not done:
        height, width = picture.shape[:2]
        raise UnwritableOutput(f"a {suffix} file cannot hold a picture of {width} × {height} px; ask for a smaller one")
    return data.tobytes()


def _fit(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return the picture cut, or its last row and column repeated, to ``size`` (width, height)."""
    right, down = max(0, size[0] - picture.shape[1]), max(0, size[1] - picture.shape[0])
    padded = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REPLICATE) if right or down else picture
    return np.ascontiguousarray(padded[: size[1], : size[0]], np.uint8)


def _factor(picture: NDArray[np.uint8], info: SlideInfo) -> NDArray[np.float64]:
    """Return px of the picture per level-0 px, along x and y."""
    return np.array([picture.shape[1] / info.width, picture.shape[0] / info.height])


def _scaled(ring: shapely.LinearRing, picture: NDArray[np.uint8], info: SlideInfo) -> NDArray[np.int32]:
    """Return the points of a ring, shape (n, 2), px of the picture."""
    return np.floor(shapely.get_coordinates(ring) * _factor(picture, info)).astype(np.int32)
