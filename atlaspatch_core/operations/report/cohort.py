"""Slides as the files of the output folder tell of them: records, GeoJSON and HDF5; no slide is opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.cohorts import stems_of_cohorts
from atlaspatch_core.discovery.find import find_slides_if_any
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.operations.report.values import PERSON, Cohort, Failures, SlideSummary
from atlaspatch_core.operations.tracking.project_status import project_status
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.hdf5 import StoredResult, read_array
from atlaspatch_core.storage.records import Record
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.slide_index import SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import read_geojson
from atlaspatch_core.tissue.segmenters import polygon_numbers
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.outline_makers import tool_of_outlines
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.rules import is_automatic
from atlaspatch_core.validity.states import State, Validity


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is read once for all slides."""

    recipe: Recipe
    store: Store
    index: SlideIndex
    discovery: Discovery
    states: Mapping[str, list[Validity]]
    """Stem to the states of its outputs."""


def gather_cohort(
    recipe: Recipe,
    failures: Failures | None = None,
    cohorts: Sequence[str] = (),
    discovery: Discovery | None = None,
) -> Cohort:
    """Return all slides that lie in the project's folders, or in ``discovery``, or were worked on, sorted by stem.

    Their states are those that ``atlaspatch status`` shows. ``failures`` are what was told elsewhere of slides that
    failed; what the files themselves say is added. With ``cohorts``, the slides of these that lie there; raises
    UnknownName for one of none.
    """
    discovery = find_slides_if_any(recipe.project) if discovery is None else discovery
    store = Store(recipe.project.output)
    index = read_slide_index(store, recipe.project.slides.masks_origin)
    paths = discovery.paths
    chosen = stems_of_cohorts(discovery.cohorts, cohorts) if cohorts else None
    states: dict[str, list[Validity]] = {}
    for validity in project_status(recipe, discovery, failures, recorded=True, index=index).outputs:
        if chosen is None or validity.stem in chosen:
            states.setdefault(validity.stem, []).append(validity)
    gathered = Gathered(recipe, store, index, discovery, states)
    slides = (replace(summarise_slide(stem, gathered), present=stem in paths) for stem in states)
    return Cohort(tuple(stage.step for stage in recipe.stages), tuple(slides))


def summarise_slide(stem: str, gathered: Gathered) -> SlideSummary:
    """Return what the files tell of one slide."""
    summary = SlideSummary(stem, tuple(gathered.states[stem]))
    try:
        record = gathered.store.read_record(stem)
    except UnreadableOutput:
        return summary
    polygons = gathered.index.polygons.get(stem)
    summary = replace(
        summary,
        info=record.slide.info if record.slide else None,
        outlines_by=_maker_of_outlines(stem, gathered, record, polygons),
        mask=_mask_numbers(stem, gathered, record, polygons),
    )
    for geometry in gathered.recipe.project.geometry:
        summary = _with_geometry(summary, geometry, gathered)
    return _with_picture(summary, gathered, polygons)


def _maker_of_outlines(stem: str, gathered: Gathered, record: Record, polygons: str | None) -> str:
    """Return who made outlines that no step made."""
    if not polygons or is_automatic(record.tissue_mask, polygons):
        return ""
    return tool_of_outlines(record, polygons, gathered.store.geojson(stem)) or PERSON


def _mask_numbers(stem: str, gathered: Gathered, record: Record, polygons: str | None) -> Mapping[str, float]:
    """Return the numbers of the polygons as they lie there."""
    if polygons is None:
        return {}
    if record.tissue_mask and record.tissue_mask.polygons == polygons:
        return record.tissue_mask.numbers
    if not record.slide:
        return {}
    info = record.slide.info
    return polygon_numbers(_outlines(stem, gathered, info), info)


def _outlines(stem: str, gathered: Gathered, info: SlideInfo) -> tuple[shapely.Polygon, ...]:
    return read_geojson(gathered.store.geojson(stem), frame=info.outline_frame, origin=gathered.index.origin)


def _with_geometry(summary: SlideSummary, geometry: Geometry, gathered: Gathered) -> SlideSummary:
    """Return the summary with patches and embeddings of one geometry, from one file."""
    try:
        results = gathered.store.stored_results(summary.stem, geometry.name)
        embeddings = dict(_embeddings(gathered.recipe, geometry, results))
    except UnreadableOutput as error:
        return _damaged(summary, geometry, str(error))
    if COORDS not in results:
        return summary
    patches = {**summary.patches, geometry.name: results[COORDS].shape[0]}
    return replace(summary, patches=patches, embeddings={**summary.embeddings, **embeddings})


def _damaged(summary: SlideSummary, geometry: Geometry, why: str) -> SlideSummary:
    """Return the summary with the coords of a geometry failed: its file cannot be read."""
    coords = OutputKey("patch_coords", None, geometry.name)
    outputs = (
        replace(output, state=State.FAILED, why=why) if output.step == coords else output for output in summary.outputs
    )
    return replace(summary, outputs=tuple(outputs))


def _embeddings(
    recipe: Recipe, geometry: Geometry, results: Mapping[str, StoredResult]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for stage in recipe.stages_of("slide_embedding", geometry):
        if stage.dataset in results:
            yield str(stage.step), np.asarray(read_array(results[stage.dataset].path, stage.dataset), np.float32)


def _with_picture(summary: SlideSummary, gathered: Gathered, polygons: str | None) -> SlideSummary:
    path = gathered.store.small_picture(summary.stem, "mask")
    if path.is_file():
        return replace(summary, picture=path)
    if summary.info is None or polygons is None:
        return summary
    return replace(summary, outlines=svg_path(_outlines(summary.stem, gathered, summary.info), summary.info))


def svg_path(polygons: Sequence[shapely.Polygon], info: SlideInfo) -> str:
    """Return the outlines as an SVG path, level-0 px, without detail that a picture of 300 px cannot show."""
    simple = shapely.simplify(list(polygons), max(info.width, info.height) / 300).tolist()
    rings = [ring for piece in simple for ring in (piece.exterior, *piece.interiors)]
    return "".join(f"M{_points(ring)}Z" for ring in rings if not ring.is_empty)


def _points(ring: shapely.LinearRing) -> str:
    return "L".join(f"{x:.0f} {y:.0f}" for x, y in shapely.get_coordinates(ring).tolist())
