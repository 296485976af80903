"""Second step: where is tissue? A person's polygons win over a segmenter's."""

from collections.abc import Mapping
from time import perf_counter

from atlaspatch_core.contours import geojson_bytes, polygons_fingerprint
from atlaspatch_core.outcome import Outcome, Status
from atlaspatch_core.pictures import show_mask
from atlaspatch_core.recipe import Stage
from atlaspatch_core.records import MaskRecord
from atlaspatch_core.segmenters import polygon_numbers, segment_tissue
from atlaspatch_core.steps.work import SlideWork

EDITED = "edited by a person"


def segment(work: SlideWork, stage: Stage) -> Outcome:
    """Make sure of a slide's tissue polygons.

    The polygons as they lie in the GeoJSON are the output: changed by hand they stay, and all that follows from them
    is computed anew; deleted, the automatic ones come back.
    """
    since = perf_counter()
    record = work.store.read_record(work.stem).tissue_mask
    lying = None if work.forced(stage) else _lying(work, record)
    if lying and not (record and record.made(lying)):
        numbers = polygon_numbers(work.polygons(), work.known())
        return _outcome(work, stage, since, lying, numbers, EDITED, Status.REUSED)
    stored = record.identity if record and record.polygons == lying else None
    why = work.reason(stage, stored, work.identity(stage))
    if why or record is None:
        record = _make(work, stage)
    status = Status.COMPUTED if why else Status.REUSED
    return _outcome(work, stage, since, record.polygons, record.numbers, why, status)


def _lying(work: SlideWork, record: MaskRecord | None) -> str | None:
    """Return the fingerprint of the polygons that lie there; None when there are none."""
    path = work.store.geojson(work.stem)
    if not path.exists():
        return None
    if record and path.stat().st_mtime_ns == record.mtime_ns:
        return record.polygons
    return polygons_fingerprint(work.polygons())


def _make(work: SlideWork, stage: Stage) -> MaskRecord:
    """Find the tissue and keep it; weights that had to be fetched for it are known by their sha256 only now."""
    project = work.run.recipe.project
    tissue = segment_tissue(work.slide(), project.tissue, work.run.models.networks(project.weights))
    work.run.specs.pop(stage.step, None)
    work.take_polygons(tissue.polygons)
    record = MaskRecord(work.identity(stage), polygons_fingerprint(tissue.polygons), tissue.numbers)
    work.store.keep_mask(work.stem, geojson_bytes(tissue.polygons, work.stem), record)
    return record


def _outcome(
    work: SlideWork,
    stage: Stage,
    since: float,
    fingerprint: str,
    numbers: Mapping[str, int | float],
    why: str,
    status: Status,
) -> Outcome:
    picture = show_mask(work, fresh=status is Status.COMPUTED)
    path = work.store.geojson(work.stem)
    facts = {"segmenter": work.run.recipe.project.tissue.segmenter, "edited": str(why == EDITED).lower()}
    return work.outcome(
        stage, status, fingerprint, since, why=why, numbers=numbers, facts=facts, path=path, picture=picture
    )
