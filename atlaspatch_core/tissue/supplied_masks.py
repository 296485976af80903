"""Masks that a person supplies: GeoJSON or mask images, one file per slide, found by the slide's stem."""

import logging
from pathlib import Path

import numpy as np
import shapely

from atlaspatch_core.errors import AtlasPatchError, UnusableMask
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.contours import in_order, mask_to_polygons, read_outlines
from atlaspatch_core.tissue.mask_images import JPEG, TIFF, read_mask_image
from atlaspatch_core.tissue.outlines import polygons_in

log = logging.getLogger(__name__)

GEOJSON = (".geojson", ".json")
SUFFIXES = (*GEOJSON, ".png", *JPEG, *TIFF)
"""What a mask may be called behind its stem."""


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

    GeoJSON is in level-0 px, ours, QuPath's or TRIDENT's, as ``read_outlines`` reads it; what of it is no tissue is
    counted in a warning. An image covers the whole slide, at any scale; outlines lie within ``simplify_um`` µm of its
    own. No tissue is an empty mask. Raises UnusableMask when the file cannot be read, its outlines lie beside the
    slide, or an image has other proportions or no background.
    """
    if is_image(path):
        mask = read_mask_image(path, info)
        stretch = np.array([info.width / mask.shape[1], info.height / mask.shape[0]])
        return mask_to_polygons(mask, stretch, info, simplify_um / info.mpp)
    try:
        outlines = read_outlines(path)
    except AtlasPatchError as error:
        cause = f" ({error.__cause__})" if isinstance(error.__cause__, ValueError) else ""
        raise UnusableMask(
            f"{info.stem}: its mask {path} is no GeoJSON that can be read{cause}; mend it or take it away"
        ) from error
    if outlines.left_out:
        log.warning("%s: %s: %s left out of the tissue", info.stem, path, outlines.left_out)
    slide = shapely.box(0, 0, info.width, info.height)
    polygons = in_order(polygons_in(shapely.intersection(shapely.union_all(list(outlines.polygons)), slide)))
    if outlines.polygons and not polygons:
        raise UnusableMask(
            f"{info.stem}: the outlines in {path} lie beside the slide of {info.width} × {info.height} px; "
            "give them in px of level 0"
        )
    return polygons
