"""Where the tissue is: one table of segmenters, and the way from slide to outlines that they share."""

from dataclasses import replace

import numpy as np
import shapely

from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.tissue.contours import mask_to_polygons
from atlaspatch_core.tissue.morphology import drop_specks, fill_holes, pieces
from atlaspatch_core.tissue.segmenters.answers import checked_pixels
from atlaspatch_core.tissue.segmenters.artifacts import without_artifacts
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, Tissue, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Networks
from atlaspatch_core.tissue.segmenters.segmentation import Segmentation, removed_classes
from atlaspatch_core.tissue.segmenters.table import SEGMENTERS, find_segmenter, plugin_segmenters

SMALL_SLIDE = 0.05
"""Of the slide's area, that a piece need not exceed: pictures of regions of interest are as small as 128 µm."""
LEAST_MARK_UM2 = 10_000.0
"""Of what the network calls a pen mark, µm²: 0.1 mm square; less may be filled as any small hole."""
LEAST_TOLD = 0.1
"""Of the least area: what is smaller is dust, and not counted among the pieces that were dropped."""
MOST_UNTOLD = 0.01
"""Of the tissue: pieces that were dropped are told where together they are more."""

__all__ = [
    "SEGMENTERS", "Networks", "Segmentation", "Segmenter", "Tissue", "TissuePixels", "TissueSpec",
    "find_segmenter", "plugin_segmenters", "polygon_numbers", "segment_tissue",
]  # fmt: skip


def segment_tissue(
    slide: Slide, spec: TissueSpec, networks: Networks | None = None, segmenter: Segmenter | None = None
) -> Tissue:
    """Return outlines and numbers of the tissue of one slide; a slide without tissue has no polygons.

    Args:
        slide: An open slide.
        spec: The segmenter's name, and what is too small to count: specks and holes in µm², pieces by share of slide.
        networks: Loaded networks that slides share; None loads from the declared sources, onto the CPU.
        segmenter: That of a plugin, whose name ``spec`` has; None takes the one of that name from this package.

    Returns:
        Polygons with holes, level-0 px, and numbers: tissue share (0 to 1), mm², fragments, holes.

    Raises:
        UnknownName: There is no such segmenter.
        UnreadableSlide: Pixels cannot be decoded.
        InvalidProject: The segmenter of a plugin returns something else than the tissue of the whole slide.
        MissingWeights, WrongWeights, MissingExtra: A network that is needed cannot be loaded.

    Example:
        >>> tissue = segment_tissue(slide, TissueSpec(segmenter="otsu"))
        >>> len(tissue.polygons), round(tissue.numbers["tissue_area_mm2"], 1)
        (1, 0.6)
    """
    networks = networks or Networks()
    maker = segmenter or find_segmenter(spec.segmenter)
    raw = checked_pixels(maker.segment(slide, spec, networks), maker, slide.info)
    smallest = _least_um2(slide.info, spec, maker)
    tissue = _without_specks(raw, slide.info, spec, smallest)
    if removed := removed_classes(spec, maker):
        tissue = _remove_artifacts(tissue, slide, spec, networks, removed, smallest)
    polygons = mask_to_polygons(tissue.mask, tissue.downsample, slide.info, spec.simplify_um / slide.info.mpp)
    least = spec.min_tissue_share * slide.info.width * slide.info.height
    pieces = tuple(piece for piece in polygons if shapely.Polygon(piece.exterior).area >= least)
    of_slide = (raw, slide.info, smallest)
    dropped = _dropped(*of_slide) if pieces else _largest_dropped(*of_slide, polygons, spec.min_tissue_share)
    return Tissue(pieces, {**polygon_numbers(pieces, slide.info), **tissue.numbers, **dropped})


def polygon_numbers(polygons: tuple[shapely.Polygon, ...], info: SlideInfo) -> dict[str, float]:
    """Return the measures of a mask that stand on its events: share, mm², fragments, holes."""
    area = sum(piece.area for piece in polygons)
    return {
        "tissue_share": area / (info.width * info.height),
        "tissue_area_mm2": area * info.mpp**2 / 1e6,
        "fragments": len(polygons),
        "holes": sum(len(piece.interiors) for piece in polygons),
    }


def _without_specks(tissue: TissuePixels, info: SlideInfo, spec: TissueSpec, smallest: float) -> TissuePixels:
    """Return a mask without pieces below ``smallest``, µm², and without small holes or any."""
    px_um2 = _px_um2(tissue, info)
    least = spec.min_hole_um2 / px_um2 if spec.remove_holes else float("inf")
    filled = fill_holes(tissue.mask, least)
    filled = filled if tissue.removed is None else filled & ~tissue.removed
    return replace(tissue, mask=drop_specks(filled, smallest / px_um2))


def _least_um2(info: SlideInfo, spec: TissueSpec, segmenter: Segmenter) -> float:
    """Return the least area of a piece, µm²; a slide that is a small region of interest has smaller ones."""
    if not segmenter.knows_small_slides:
        return spec.min_tissue_um2
    return min(spec.min_tissue_um2, SMALL_SLIDE * info.width * info.height * info.mpp**2)


def _px_um2(tissue: TissuePixels, info: SlideInfo) -> float:
    """Return the area of a pixel of the mask, µm²."""
    return (info.mpp * tissue.downsample) ** 2


def _largest_dropped(
    raw: TissuePixels, info: SlideInfo, smallest: float, polygons: tuple[shapely.Polygon, ...], share: float
) -> dict[str, float]:
    """Return the largest piece that was too small to count, and what it had to be, µm²; nothing where there is none."""
    share_um2 = share * info.width * info.height * info.mpp**2
    largest = float(pieces(raw.mask)[1][1:].max(initial=0)) * _px_um2(raw, info)
    least = max(share_um2, smallest) if polygons else smallest
    return {"largest_dropped_um2": largest, "least_um2": least} if 0 < largest < least else {}


def _dropped(raw: TissuePixels, info: SlideInfo, least: float) -> dict[str, float]:
    """Return how many pieces beside larger ones were too small to count, their area, and where the largest lies.

    Nothing where that is of no weight: less than a hundredth of the tissue, and none of half of the least area.
    """
    labels, areas = pieces(raw.mask)
    um2 = areas * _px_um2(raw, info)
    um2[0] = 0
    small = (um2 < least) & (um2 >= LEAST_TOLD * least)
    total = float(um2[small].sum())
    if total <= MOST_UNTOLD * um2.sum() and um2[small].max(initial=0) <= least / 2:
        return {}
    y, x = (float(np.mean(axis) * raw.downsample) for axis in np.nonzero(labels == np.argmax(np.where(small, um2, 0))))
    count = {"dropped_pieces": float(small.sum()), "dropped_um2": total, "least_um2": least}
    return count | {"dropped_x": x, "dropped_y": y}


def _remove_artifacts(
    tissue: TissuePixels, slide: Slide, spec: TissueSpec, networks: Networks, removed: tuple[int, ...], smallest: float
) -> TissuePixels:
    """Return a mask without artefacts; ``emptied_by_artifacts`` is 1 where that leaves nothing of some tissue."""
    after = without_artifacts(slide, tissue, networks, removed)
    if spec.remove_penmarks:
        marks = drop_specks(tissue.mask & ~after.mask, LEAST_MARK_UM2 / _px_um2(tissue, slide.info))
        after = replace(after, removed=marks if tissue.removed is None else marks | tissue.removed)
    cleaned = _without_specks(after, slide.info, replace(spec, remove_holes=True), smallest)
    emptied = bool(tissue.mask.any() and not cleaned.mask.any())
    return replace(cleaned, numbers={**cleaned.numbers, "emptied_by_artifacts": float(emptied)})
