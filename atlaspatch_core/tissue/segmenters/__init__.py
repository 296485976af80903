"""Where the tissue is: one table of segmenters, and the way from slide to outlines that they share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from atlaspatch_core.errors import UnknownName
from atlaspatch_core.option import stated_values
from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.tissue.contours import mask_to_polygons
from atlaspatch_core.tissue.morphology import drop_specks, fill_holes, pieces
from atlaspatch_core.tissue.segmenters.artifacts import ARTIFACT_NETWORK, ARTIFACTS, PENMARKS, without_artifacts
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, Tissue, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Network, Networks
from atlaspatch_core.tissue.spec import SEGMENTER_NAMES

SEGMENTERS: dict[str, Segmenter] = {
    name: getattr(import_module(f"{__name__}.{name}"), name.upper()) for name in SEGMENTER_NAMES
}
"""Every segmenter by its name; listing them loads no network."""
SMALL_SLIDE = 0.05
"""Of the slide's area, that a piece need not exceed: pictures of regions of interest are as small as 128 µm."""
PENMARKS_VERSION = 2
"""Raised whenever ``remove_penmarks`` gives other numbers than before; without it no mask has it in its fingerprint."""
LEAST_MARK_UM2 = 10_000.0
"""Of what the network calls a pen mark, µm²: 0.1 mm square; less may be filled as any small hole."""
LEAST_TOLD = 0.1
"""Of the least area: what is smaller is dust, and not counted among the pieces that were dropped."""
MOST_UNTOLD = 0.01
"""Of the tissue: pieces that were dropped are told where together they are more."""

__all__ = [
    "SEGMENTERS", "Networks", "Segmentation", "Segmenter", "Tissue", "TissuePixels", "TissueSpec",
    "find_segmenter", "networks_of", "polygon_numbers", "segment_tissue",
]  # fmt: skip


def find_segmenter(name: str) -> Segmenter:
    """Return the segmenter of that name. Raises UnknownName, which lists the names there are."""
    if name not in SEGMENTERS:
        raise UnknownName(f"there is no segmenter {name!r}; choose one of {', '.join(sorted(SEGMENTERS))}")
    return SEGMENTERS[name]


def networks_of(spec: TissueSpec) -> tuple[Network, ...]:
    """Return the networks that a mask takes, the segmenter's own first; each states its licence and its source."""
    own = find_segmenter(spec.segmenter).network
    return (*((own,) if own else ()), *((ARTIFACT_NETWORK,) if _removed(spec) else ()))


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How the masks of a project are made."""

    tissue: TissueSpec
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Name of a network to a local file; names of other things do not matter."""

    def spec(self) -> dict[str, Any]:
        """Return everything that decides a mask beside the slide, fit for JSON: local weights by their sha256.

        Raises UnknownName for the segmenter, MissingWeights when a local file is not there.
        """
        networks = {
            network.name: network.with_local_weights(self.weights).spec() for network in networks_of(self.tissue)
        }
        version = find_segmenter(self.tissue.segmenter).version
        own = stated_values(self.tissue) | {"segmenter_version": version}
        own |= {"penmarks_version": PENMARKS_VERSION} if self.tissue.remove_penmarks else {}
        return own | ({"networks": networks} if networks else {})


def segment_tissue(slide: Slide, spec: TissueSpec, networks: Networks | None = None) -> Tissue:
    """Return outlines and numbers of the tissue of one slide; a slide without tissue has no polygons.

    Args:
        slide: An open slide.
        spec: The segmenter's name, and what is too small to count: specks and holes in µm², pieces by share of slide.
        networks: Loaded networks that slides share; None loads from the declared sources, onto the CPU.

    Returns:
        Polygons with holes, level-0 px, and numbers: tissue share (0 to 1), mm², fragments, holes.

    Raises:
        UnknownName: There is no such segmenter.
        UnreadableSlide: Pixels cannot be decoded.
        MissingWeights, WrongWeights, MissingExtra: A network that is needed cannot be loaded.

    Example:
        >>> tissue = segment_tissue(slide, TissueSpec(segmenter="otsu"))
        >>> len(tissue.polygons), round(tissue.numbers["tissue_area_mm2"], 1)
        (1, 0.6)
    """
    networks = networks or Networks()
    raw = find_segmenter(spec.segmenter).segment(slide, spec, networks)
    tissue = _without_specks(raw, slide.info, spec)
    if removed := _removed(spec):
        tissue = _remove_artifacts(tissue, slide, spec, networks, removed)
    polygons = mask_to_polygons(tissue.mask, tissue.downsample, slide.info, spec.simplify_um / slide.info.mpp)
    least = spec.min_tissue_share * slide.info.width * slide.info.height
    pieces = tuple(piece for piece in polygons if shapely.Polygon(piece.exterior).area >= least)
    dropped = _dropped(raw, slide.info, spec) if pieces else _largest_dropped(raw, polygons, slide.info, spec)
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


def _removed(spec: TissueSpec) -> tuple[int, ...]:
    """Return the classes of the artefact network that are taken away; none where it is not needed."""
    if spec.remove_artifacts:
        return ARTIFACTS
    return PENMARKS if spec.remove_penmarks and not find_segmenter(spec.segmenter).knows_ink else ()


def _without_specks(tissue: TissuePixels, info: SlideInfo, spec: TissueSpec) -> TissuePixels:
    """Return a mask without specks, and without small holes or any."""
    px_um2 = _px_um2(tissue, info)
    least = spec.min_hole_um2 / px_um2 if spec.remove_holes else float("inf")
    filled = fill_holes(tissue.mask, least)
    filled = filled if tissue.removed is None else filled & ~tissue.removed
    return replace(tissue, mask=drop_specks(filled, _least_um2(info, spec) / px_um2))


def _least_um2(info: SlideInfo, spec: TissueSpec) -> float:
    """Return the least area of a piece, µm²; a slide that is a small region of interest has smaller ones."""
    if not find_segmenter(spec.segmenter).knows_small_slides:
        return spec.min_tissue_um2
    return min(spec.min_tissue_um2, SMALL_SLIDE * info.width * info.height * info.mpp**2)


def _px_um2(tissue: TissuePixels, info: SlideInfo) -> float:
    """Return the area of a pixel of the mask, µm²."""
    return (info.mpp * tissue.downsample) ** 2


def _largest_dropped(
    raw: TissuePixels, polygons: tuple[shapely.Polygon, ...], info: SlideInfo, spec: TissueSpec
) -> dict[str, float]:
    """Return the largest piece that was too small to count, and what it had to be, µm²; nothing where there is none."""
    share_um2 = spec.min_tissue_share * info.width * info.height * info.mpp**2
    largest = float(pieces(raw.mask)[1][1:].max(initial=0)) * _px_um2(raw, info)
    least = max(share_um2, _least_um2(info, spec)) if polygons else _least_um2(info, spec)
    return {"largest_dropped_um2": largest, "least_um2": least} if 0 < largest < least else {}


def _dropped(raw: TissuePixels, info: SlideInfo, spec: TissueSpec) -> dict[str, float]:
    """Return how many pieces beside larger ones were too small to count, their area, and where the largest lies.

    Nothing where that is of no weight: less than a hundredth of the tissue, and none of half of the least area.
    """
    least = _least_um2(info, spec)
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
    tissue: TissuePixels, slide: Slide, spec: TissueSpec, networks: Networks, removed: tuple[int, ...]
) -> TissuePixels:
    """Return a mask without artefacts; ``emptied_by_artifacts`` is 1 where that leaves nothing of some tissue."""
    after = without_artifacts(slide, tissue, networks, removed)
    if spec.remove_penmarks:
        marks = drop_specks(tissue.mask & ~after.mask, LEAST_MARK_UM2 / _px_um2(tissue, slide.info))
        after = replace(after, removed=marks if tissue.removed is None else marks | tissue.removed)
    cleaned = _without_specks(after, slide.info, replace(spec, remove_holes=True))
    emptied = bool(tissue.mask.any() and not cleaned.mask.any())
    return replace(cleaned, numbers={**cleaned.numbers, "emptied_by_artifacts": float(emptied)})
