"""Second step: where is tissue? A person's polygons win over a segmenter's."""

from time import perf_counter

from atlaspatch_core.contours import geojson_bytes, polygons_fingerprint, read_geojson
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
    lying = None if work.forced(stage) else _lying(work)
    if lying and not (record and record.made(lying)):
        return _outcome(work, stage, since, Status.REUSED, EDITED, polygon_numbers(work.polygons, work.known()))
    stored = record.identity if record and record.polygons == lying else None
    why = work.reason(stage, stored, stage.identity(work.inputs(stage)))
    if why:
        record = _make(work, stage)
    assert record is not None
    return _outcome(work, stage, since, Status.COMPUTED if why else Status.REUSED, why, record.numbers)


def _lying(work: SlideWork) -> str | None:
    """Read the polygons that lie there and return their fingerprint; None when there are none."""
    path = work.store.geojson(work.stem)
    if not path.exists():
        return None
    work.polygons = read_geojson(path)
    return polygons_fingerprint(work.polygons)


def _make(work: SlideWork, stage: Stage) -> MaskRecord:
    """Find the tissue and keep it; weights that had to be fetched for it are known by their sha256 only now."""
    project = work.run.recipe.project
    tissue = segment_tissue(work.slide(), project.tissue, work.run.models.networks(project.weights))
    identity = stage.identity(work.inputs(stage))
    geojson = geojson_bytes(tissue.polygons, work.stem)
    work.polygons = tissue.polygons
    record = MaskRecord(identity, polygons_fingerprint(work.polygons), tissue.numbers)
    work.store.keep_mask(work.stem, geojson, record)
    return record


def _outcome(work: SlideWork, stage: Stage, since: float, status: Status, why: str, numbers) -> Outcome:
    fingerprint = polygons_fingerprint(work.polygons)
    picture = show_mask(work, fresh=status is Status.COMPUTED)
    path = work.store.geojson(work.stem)
    facts = {"segmenter": work.run.recipe.project.tissue.segmenter, "edited": str(why == EDITED).lower()}
    return work.outcome(
        stage, status, fingerprint, since, why=why, numbers=numbers, facts=facts, path=path, picture=picture
    )
