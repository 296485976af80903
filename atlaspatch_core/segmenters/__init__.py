"""Where the tissue is: one table of segmenters, and the way from slide to outlines that they share."""

import shapely

from atlaspatch_core.contours import mask_to_polygons
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.morphology import drop_specks, fill_holes
from atlaspatch_core.segmenters.declaration import Segmenter, Tissue, TissuePixels, TissueSpec
from atlaspatch_core.segmenters.otsu import OTSU
from atlaspatch_core.slide import Slide, SlideInfo

SEGMENTERS: dict[str, Segmenter] = {segmenter.name: segmenter for segmenter in (OTSU,)}
"""Every segmenter by its name; listing them loads no network."""

__all__ = ["SEGMENTERS", "Segmenter", "Tissue", "TissuePixels", "TissueSpec", "find_segmenter", "segment_tissue"]


def find_segmenter(name: str) -> Segmenter:
    """Return the segmenter of that name. Raises UnknownName, which lists the names there are."""
    if name not in SEGMENTERS:
        raise UnknownName(f"there is no segmenter {name!r}; choose one of {', '.join(sorted(SEGMENTERS))}")
    return SEGMENTERS[name]


def segment_tissue(slide: Slide, spec: TissueSpec) -> Tissue:
    """Return outlines and numbers of the tissue of one slide; a slide without tissue has no polygons.

    Raises UnknownName for the segmenter, UnreadableSlide when pixels cannot be decoded.
    """
    found = find_segmenter(spec.segmenter).segment(slide, spec)
    px_um2 = (slide.info.mpp * found.downsample) ** 2
    mask = drop_specks(fill_holes(found.mask, spec.min_hole_um2 / px_um2), spec.min_tissue_um2 / px_um2)
    polygons = mask_to_polygons(mask, found.downsample, slide.info, spec.simplify_um / slide.info.mpp)
    least = spec.min_tissue_share * slide.info.width * slide.info.height
    kept = tuple(piece for piece in polygons if shapely.Polygon(piece.exterior).area >= least)
    return Tissue(kept, {**polygon_numbers(kept, slide.info), **found.numbers})


def polygon_numbers(polygons: tuple[shapely.Polygon, ...], info: SlideInfo) -> dict[str, float]:
    """Return the measures of a mask that stand on its events: share, mm², fragments, holes."""
    area = sum(piece.area for piece in polygons)
    return {
        "tissue_share": area / (info.width * info.height),
        "tissue_area_mm2": area * info.mpp**2 / 1e6,
        "fragments": len(polygons),
        "holes": sum(len(piece.interiors) for piece in polygons),
    }
