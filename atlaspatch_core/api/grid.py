"""Where the patches of one slide lie, as the pipeline places them."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import shapely

from atlaspatch_core.api.options import GridOptions, check_names, checked_project
from atlaspatch_core.api.slide import as_opened
from atlaspatch_core.api.tissue import SlideTissue, polygons_of
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.slides.slide import Slide


def lay_grid(
    slide: Slide,
    tissue: SlideTissue | shapely.Geometry | Iterable[shapely.Polygon],
    *,
    patch_size: int,
    target_mag: float | None = None,
    target_mpp: float | None = None,
    step_size: int | None = None,
    overlap: int | None = None,
    filters: Mapping[str, Any] | None = None,
    **options: Unpack[GridOptions],
) -> PatchGrid:
    """Choose the patches of a slide: the coords that ``encode-slide`` would store.

    Args:
        slide: An open slide.
        tissue: What ``segment`` returned, or polygons of shapely in level-0 px.
        patch_size: Side of a patch, px at the target scale.
        target_mag: Target magnification: 20 means 0.5 µm per px. Either this or ``target_mpp``.
        target_mpp: Target scale, µm per px.
        step_size: Distance of neighbouring patches, px at the target scale; the patch size when left out.
        overlap: What neighbours share, px at the target scale, in place of ``step_size``.
        filters: Read every patch and drop some by their pixels: ``{}``, or thresholds such as ``white_thresh``.
        options: ``min_tissue``, ``rule``, ``scale``, ``edge``, ``resample``: ``[[geometry]]`` of docs/options.md.

    Returns:
        The grid: ``coords``, int32 (n, 2), x and y of top-left corners in level-0 px; ``tissue_fraction``, float32
        (n,), 0 to 1; ``sampling``, how patches are read. n may be 0.

    Raises:
        InvalidProject: An option does not exist, or its value cannot be.
        FinerThanScanned: The slide has not the detail.

    Example:
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20, min_tissue=0.5)
        >>> grid
        <37 patches of 256 px at 0.499 µm/px, 256 level-0 px wide>
        >>> grid.coords[:2].tolist(), grid.sampling.level
        ([[1024, 256], [1024, 512]], 0)
    """
    from atlaspatch_core.patches.filters import filter_grid
    from atlaspatch_core.patches.grid import lay_grid as lay_grid_over

    check_names("ap.lay_grid", options, GridOptions.__annotations__)
    step = _step_of(patch_size, step_size, overlap)
    scale = {"target_mag": target_mag, "target_mpp": target_mpp}
    geometry = {"patch_size": patch_size, "step_size": step, **scale, "filters": filters, **options}
    project = checked_project("ap.lay_grid", {"geometry": [geometry]})
    spec = project.geometry[0]
    grid = lay_grid_over(slide.info, polygons_of(tissue), spec.spec)
    if spec.filters is None or not len(grid):
        return grid
    return filter_grid(as_opened(slide), grid, spec.filters, workers=project.runtime.readers)


def _step_of(patch_size: int, step_size: int | None, overlap: int | None) -> int | None:
    if overlap is None:
        return step_size
    if step_size is not None:
        raise InvalidProject("ap.lay_grid: step_size and overlap both state the distance of patches; give one of them")
    if not 0 <= overlap < patch_size:
        raise InvalidProject(
            f"ap.lay_grid: overlap {overlap} is not from 0 to below the patch size {patch_size}; give px that "
            "neighbouring patches share"
        )
    return patch_size - overlap
