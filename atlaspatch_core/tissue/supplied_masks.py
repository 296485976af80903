"""Masks that a person supplies: GeoJSON or mask images, one file per slide, found by the slide's stem."""

from pathlib import Path

import cv2
import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray

from atlaspatch_core.errors import AtlasPatchError, UnusableMask
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.contours import explode, in_order, mask_to_polygons, read_geojson
from atlaspatch_core.tissue.morphology import Mask

GEOJSON = (".geojson", ".json")
JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
SUFFIXES = (*GEOJSON, ".png", *JPEG, *TIFF)
"""What a mask may be called behind its stem."""
ENOUGH = 4096
"""The smallest level of a pyramidal TIFF whose longer side has so many px is read; the largest where none has."""
MOST = 2**28
"""Most px of a mask that is read; 16,384 square."""


def find_mask(folder: Path | None, stem: str) -> Path | None:
    """Return the file in ``folder`` that holds the mask of a slide, or None.

    Raises UnusableMask when there are two.
    """
    files = [folder / f"{stem}{suffix}" for suffix in SUFFIXES] if folder else []
    found = [file for file in files if file.is_file()]
    if len(found) > 1:
        raise UnusableMask(f"{stem}: {' and '.join(map(str, found))} are both its mask; leave one")
    return found[0] if found else None


def is_image(path: Path) -> bool:
    """Tell whether a mask is an image, to be outlined, rather than outlines."""
    return path.suffix.lower() not in GEOJSON


def read_mask(path: Path, info: SlideInfo, simplify_um: float) -> tuple[shapely.Polygon, ...]:
    """Return the polygons of a supplied mask: valid, disjoint, within the slide, from top to bottom; level-0 px.

    GeoJSON is in level-0 px, ours, QuPath's or TRIDENT's, as ``read_geojson`` reads it. An image covers the whole
    slide, stretched over it, whatever its size; outlines lie within ``simplify_um`` µm of its own. No tissue is an
    empty mask. Raises UnusableMask when the file cannot be read, or its outlines lie beside the slide.
    """
    if is_image(path):
        mask = _read_image(path, info.stem)
        stretch = np.array([info.width / mask.shape[1], info.height / mask.shape[0]])
        return mask_to_polygons(mask, stretch, info, simplify_um / info.mpp)
    try:
        outlines = read_geojson(path)
    except AtlasPatchError as error:
        raise UnusableMask(
            f"{info.stem}: its mask {path} is no GeoJSON that can be read; mend it or take it away"
        ) from error
    slide = shapely.box(0, 0, info.width, info.height)
    polygons = in_order(explode(shapely.intersection(shapely.union_all(list(outlines)), slide)))
    if outlines and not polygons:
        raise UnusableMask(
            f"{info.stem}: the outlines in {path} lie beside the slide of {info.width} × {info.height} px; "
            "give them in px of level 0"
        )
    return polygons


def _read_image(path: Path, stem: str) -> Mask:
    """Return what is tissue: any channel but the alpha above zero; in a JPEG, which blurs zero, half of the most."""
    try:
        values = _tiff(path) if path.suffix.lower() in TIFF else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except (OSError, ValueError, RuntimeError, cv2.error) as error:
        raise UnusableMask(f"{stem}: its mask {path} cannot be read ({error}); mend it or take it away") from error
    if values is None or values.ndim not in (2, 3) or values.size == 0:
        raise UnusableMask(f"{stem}: its mask {path} is no image that can be read; mend it or take it away")
    values = values[..., :3].max(axis=2) if values.ndim == 3 else values
    return np.asarray(values > (values.max() / 2 if path.suffix.lower() in JPEG else 0), bool)


def _tiff(path: Path) -> NDArray:
    """Return the pixels of the first image of a TIFF, of a level that is large enough. Raises ValueError."""
    with tifffile.TiffFile(path) as file:
        levels = file.series[0].levels
        level = next((one for one in reversed(levels) if max(one.shape[:2]) >= ENOUGH), levels[0])
        if level.size > MOST * 3:
            raise ValueError(f"it has {level.size:,} values, more than {MOST * 3:,}; store it smaller")
        values = np.asarray(level.asarray())
    return np.moveaxis(values, 0, -1) if level.axes.startswith(("S", "C")) and values.ndim == 3 else values
