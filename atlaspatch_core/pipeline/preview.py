"""Pictures of a slide: its thumbnail, mask, outlines and patches, under the names and looks that people know."""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide, SlideInfo

Picture = NDArray[np.uint8]
"""Shape (height, width, 3), RGB; covers the whole slide."""

TISSUE = (255, 0, 0)
HOLE = (0, 0, 255)
PATCH = (0, 0, 0)
MASK = (0, 255, 0)
MASK_OPACITY = 80 / 255
LIGHT, DARK = (255, 255, 255), (0, 0, 0)


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
        if _is_dark(picture):
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


def draw_grid(picture: Picture, grid: PatchGrid, info: SlideInfo, lines: Sequence[str] | None = None) -> Picture:
    """Return the picture with a box of 1 px for each patch and a box of facts at the top right.

    ``lines`` are the facts; None says patches, slide, patch and step size. No lines, no box. Patches too small for a
    box (under 4 px) are dots. On a dark slide the boxes are white.
    """
    overlay = picture.copy()
    factor, side = _factor(picture, info), grid.sampling.patch_size_level0
    near, far = (np.round(corner * factor).astype(int).tolist() for corner in (grid.coords, grid.coords + side))
    dots = side * factor.min() < 4
    colour = LIGHT if _is_dark(picture) else PATCH
    for (x0, y0), (x1, y1) in zip(near, far, strict=True):
        if dots:
            cv2.circle(overlay, ((x0 + x1) // 2, (y0 + y1) // 2), 0, colour, -1)
        else:
            cv2.rectangle(overlay, (x0, y0), (x1, y1), colour, 1)
    _write(overlay, grid_facts(grid, info) if lines is None else lines)
    return overlay


def grid_facts(grid: PatchGrid, info: SlideInfo) -> tuple[str, ...]:
    """Return what the box on the grid picture says."""
    sampling = grid.sampling
    return (
        f"patches {len(grid.coords)}",
        f"slide {info.width} x {info.height} px, {info.mpp:.4g} um/px",
        f"patch {sampling.patch_size} px at {sampling.mpp:.4g} um/px",
        f"step {sampling.step_size_level0} px of level 0",
    )


def encode_jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Return the picture as JPEG."""
    return _encode(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return the picture, RGB or grey, as PNG."""
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
    _, data = cv2.imencode(suffix, ordered, options)
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


def _is_dark(picture: Picture) -> bool:
    return float(picture.mean()) < 96


def _write(picture: Picture, lines: Sequence[str]) -> None:
    """Write lines into a white box at the top right, in place; letters shrink with the picture."""
    if not lines:
        return
    scale = 0.5 * min(1.0, picture.shape[1] / 768)
    sizes = [cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0] for line in lines]
    step, width = round(max(height for _, height in sizes) * 1.9), max(width for width, _ in sizes) + 12
    x0 = max(0, picture.shape[1] - width - 4)
    cv2.rectangle(picture, (x0, 4), (picture.shape[1] - 4, 10 + step * len(lines)), LIGHT, -1)
    cv2.rectangle(picture, (x0, 4), (picture.shape[1] - 4, 10 + step * len(lines)), DARK, 1)
    for index, line in enumerate(lines):
        place = (x0 + 6, 4 + round(step * (index + 0.8)))
        cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, DARK, 1, cv2.LINE_AA)
