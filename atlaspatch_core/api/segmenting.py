"""Finding the tissue of one slide, as the pipeline does."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Unpack

from atlaspatch_core.api.options import TissueOptions, as_paths, check_names, checked_project
from atlaspatch_core.api.slide import as_opened
from atlaspatch_core.api.tissue import SlideTissue
from atlaspatch_core.slides.slide import Slide


def segment(
    slide: Slide,
    segmenter: str = "otsu",
    *,
    weights: Mapping[str, str | Path] | None = None,
    device: str | None = None,
    plugins: Collection[str | Path] = (),
    **options: Unpack[TissueOptions],
) -> SlideTissue:
    """Find the tissue of a slide: the outlines that ``encode-slide`` would store.

    Args:
        slide: An open slide.
        segmenter: ``otsu``, ``otsu_tiled``, ``sam2``, ``hest`` or ``grandqc``, or one of a plugin.
        weights: Name of a network to a local file with its weights; by default they come from the hub.
        device: Where a network runs; by default as ``--device`` of the command.
        plugins: Python files that declare further segmenters. Their code is executed.
        options: ``min_tissue_um2``, ``remove_holes`` …: the table ``[tissue]`` of docs/options.md.

    Returns:
        The tissue: ``polygons``, ``contours``, ``mask()``, ``area_mm2``, ``geojson()``; empty for a slide without any.

    Raises:
        InvalidProject: An option does not exist, or its value cannot be; a plugin cannot be used.
        UnknownName: There is no such segmenter.
        UnreadableSlide: Pixels cannot be decoded.
        MissingWeights, WrongWeights, MissingExtra: A network that is needed cannot be loaded.

    Example:
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> tissue = ap.segment(slide, "otsu")
        >>> tissue
        <tissue of CMU-1-Small-Region: 0.635 mm², 1 piece, 1 hole>
        >>> tissue.mask(256).shape, tissue.geometry.bounds[0] >= 0
        ((256, 192), True)
    """
    from atlaspatch_core.tissue.contours import oriented
    from atlaspatch_core.tissue.segmenters import Networks, segment_tissue
    from atlaspatch_core.validity.project_plugins import segmenter_of

    check_names("ap.segment", options, TissueOptions.__annotations__)
    tissue = {"segmenter": segmenter, **options}
    values = {"tissue": tissue, "weights": as_paths(weights), "runtime": {"device": device}}
    project = checked_project("ap.segment", values | {"plugins": tuple(map(Path, plugins))})
    networks = Networks(project.weights, project.runtime.device, project.runtime.segmentation_batch_size)
    result = segment_tissue(as_opened(slide), project.tissue, networks, segmenter_of(project))
    return SlideTissue(slide.info, tuple(map(oriented, result.polygons)), result.numbers)
