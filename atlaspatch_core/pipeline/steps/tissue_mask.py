"""Second step: where is tissue? A person's polygons win over a supplied mask, and that over a segmenter's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import shapely

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.hidden_names import without_hidden_names
from atlaspatch_core.layouts.found import FolderLayout
from atlaspatch_core.pipeline.pictures import is_mask_shown, show_mask
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import OutlineFrame
from atlaspatch_core.storage.records import PLACEMENT, MaskRecord
from atlaspatch_core.tissue.contours import geojson_bytes, oriented, polygons_fingerprint, written_frame
from atlaspatch_core.tissue.outline_origin import ORIGIN
from atlaspatch_core.tissue.placement import placement_of_mask
from atlaspatch_core.tissue.quality import failed, judge_quality
from atlaspatch_core.tissue.quality_survey import SEEN_AT, measure_quality
from atlaspatch_core.tissue.segmenters import polygon_numbers, segment_tissue
from atlaspatch_core.tissue.supplied_masks import (
    IGNORED,
    find_mask,
    ignored_number,
    outline_notes,
    read_mask,
    supplied_signature,
    tissue_values,
)
from atlaspatch_core.validity.identities import mask_facts, supplied_identity
from atlaspatch_core.validity.mask_stops import EDITED_CURE, blocked_reason, edited_numbers
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.outline_makers import tool_of_outlines
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, OutputSpec
from atlaspatch_core.validity.rules import interrupted_reason, is_automatic, source_reason

EDITED = "edited by a person"
WITHOUT_SEGMENTER = frozenset({"edited", "supplied", *FolderLayout})
"""What made outlines that are no segmenter's."""


def ensure_tissue_mask(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Make sure of a slide's tissue polygons.

    The polygons as they lie in the GeoJSON are the output: changed by hand they stay, and all that follows from them
    is computed anew; deleted, the supplied or automatic ones come back.
    """
    since = perf_counter()
    remembered = work.record or work.store.read_record(work.stem)
    record = remembered.tissue_mask
    clause = _clause_of_copy(work, record) if work.forced(stage) else ""
    on_disk = None if work.forced(stage) else _on_disk(work, record)
    if on_disk and not is_automatic(record, on_disk):
        tool = tool_of_outlines(remembered, on_disk, work.store.geojson(work.stem))
        work.store.note_outlines(work.stem, tool, on_disk)
        numbers = _edited_numbers(work, record)
        notes = (*_notes_on_file(work, record), *_notes_on_placement(work, on_disk))
        why = f"{tool}'s, taken as they are" if tool else EDITED
        return _outcome(work, stage, since, on_disk, numbers, why, Status.REUSED, tool or "edited", notes)
    interrupted = interrupted_reason(record, on_disk)
    stored = record if on_disk and not interrupted else None
    if stored and work.trusted(stage):
        work.check_inputs(stage, stored.identity)
        maker = "supplied" if stored.supplied else str(stored.identity.spec.get("segmenter"))
        notes = work.notes_on(TISSUE_MASK, stored.polygons)
        return _outcome(work, stage, since, stored.polygons, stored.numbers, "", Status.REUSED, maker, notes)
    project = work.run.recipe.project
    source = find_mask(project.slides.masks, work.stem, project.names_of, lambda: work.source.path.parent)
    record, why, notes = (
        _supply(work, stage, stored, source, interrupted) if source else (*_find(work, stage, stored, interrupted), ())
    )
    status = Status.COMPUTED if why else Status.REUSED
    if not why:
        notes = tuple(dict.fromkeys((*notes, *_notes_on_file(work, record))))
        _keep_as_qupath_counts(work, record)
    maker = "supplied" if source else project.tissue.segmenter
    return _outcome(work, stage, since, record.polygons, record.numbers, why + clause, status, maker, notes)


def _on_disk(work: SlideWork, record: MaskRecord | None) -> str | None:
    """Return the fingerprint of the polygons that lie there; None when there are none."""
    path = work.store.geojson(work.stem)
    if not path.exists():
        return None
    if record and path.stat().st_mtime_ns == record.mtime_ns:
        return record.polygons
    return polygons_fingerprint(work.polygons())


def _clause_of_copy(work: SlideWork, record: MaskRecord | None) -> str:
    """Keep a copy of outlines that no step made, before they are replaced as asked, and return a clause of it."""
    try:
        on_disk = _on_disk(work, record)
        is_ours = on_disk is None or is_automatic(record, on_disk)
    except AtlasPatchError:  # no outlines, and perhaps somebody's work
        is_ours = False
    if is_ours:
        return ""
    copy = work.store.keep_outlines(work.stem)
    return f"; the outlines that lay there are kept in {copy.relative_to(work.store.output).as_posix()}"


def _notes_on_file(work: SlideWork, record: MaskRecord | None) -> tuple[str, ...]:
    """Return what is odd about outlines that a person saved; raises UnusableMask where none lies on the slide."""
    path = work.store.geojson(work.stem)
    if record and path.stat().st_mtime_ns == record.mtime_ns:
        return ()
    return outline_notes(path, work.outlines(), work.slide_info(), EDITED_CURE)


def _notes_on_placement(work: SlideWork, polygons: str) -> tuple[str, ...]:
    """Return whether a person's outlines, of fingerprint ``polygons``, lie on glass.

    The slide is looked at once: before the picture of these outlines is drawn, which shows that it was.
    """
    name = f"{TISSUE_MASK}{PLACEMENT}"
    notes = work.step_notes.get(name)
    if is_mask_shown(work, polygons):
        return notes.texts if notes and notes.fingerprint == polygons else ()
    numbers = placement_of_mask(read_overview(work.slide(), SEEN_AT), work.polygons())
    texts = tuple(finding.text for finding in failed(judge_quality(numbers, work.run.recipe.project.quality)))
    work.keep_notes(name, polygons, texts)
    return texts


def _edited_numbers(work: SlideWork, record: MaskRecord | None) -> dict[str, float]:
    """Return the measures of a person's polygons, and what was seen on the same slide whatever its mask."""
    numbers = record.numbers if record and record.identity.inputs[SLIDE.kind] == work.fingerprints[SLIDE] else {}
    return edited_numbers(work.outlines(), work.slide_info(), numbers) | ignored_number(work.outlines())


def _find(work: SlideWork, stage: OutputSpec, stored: MaskRecord | None, interrupted: str) -> tuple[MaskRecord, str]:
    """Return the segmenter's mask, and why it was made: empty where the stored one is valid."""
    facts, cause = mask_facts(work.slide_info()), interrupted or source_reason(stored, None)
    why = work.reason(stage, stored.identity if stored else None, work.identity(stage, facts), cause)
    if not why and stored:
        return stored, ""
    project = work.run.recipe.project
    networks, segmenter = work.run.models.networks(project.weights), work.run.recipe.segmentation.maker
    tissue = segment_tissue(work.slide(), project.tissue, networks, segmenter)
    work.run.specs.pop(stage.step, None)  # weights that had to be fetched are known by their sha256 only now
    return _write_mask(work, work.identity(stage, facts), tissue.polygons, tissue.numbers), why


def _supply(
    work: SlideWork, stage: OutputSpec, stored: MaskRecord | None, source: Path, interrupted: str
) -> tuple[MaskRecord, str, tuple[str, ...]]:
    """Return the mask that a person supplied, why it was taken over, empty where the stored one is the same, and notes.

    What lies in ``source`` is told by its polygons; an untouched file is not read again.
    """
    slides = work.run.recipe.project.slides
    origin, labels = slides.masks_origin, tissue_values(source, work.stem, slides.mask_values)
    as_drawn, untouched = work.run.recipe.project.follows_drawings, ""
    signature = supplied_signature(source, work.slide_info().outline_frame, origin, labels, as_drawn=as_drawn)
    if stored and stored.supplied == signature:
        expected = _supplied_identity(work, stage, source, stored.identity.spec["supplied"], labels)
        if not (untouched := work.reason(stage, stored.identity, expected)):
            return stored, "", work.notes_on(TISSUE_MASK, stored.polygons)
    mask = read_mask(source, work.slide_info(), work.run.recipe.project.tissue.simplify_um, origin, labels)
    polygons, fingerprint = mask.polygons, polygons_fingerprint(mask.polygons)
    expected = _supplied_identity(work, stage, source, fingerprint, labels)
    cause = interrupted or untouched or source_reason(stored, without_hidden_names(source.name), fingerprint)
    why = work.reason(stage, stored.identity if stored else None, expected, cause)
    numbers = stored.numbers if stored and not why else polygon_numbers(polygons, work.slide_info())
    numbers = {**{name: value for name, value in numbers.items() if name != IGNORED}, **mask.numbers}
    record = _write_mask(work, expected, polygons, numbers, signature, mask.drawing if as_drawn else "")
    return record, why, mask.notes


def _supplied_identity(
    work: SlideWork, stage: OutputSpec, source: Path, polygons: str, labels: Sequence[int]
) -> Identity:
    """Return what decides a supplied mask: its polygons, and how an image is read and outlined."""
    simplify_um = work.run.recipe.project.tissue.simplify_um
    return supplied_identity(stage, work.fingerprints, source, polygons, simplify_um, labels)


def _write_mask(
    work: SlideWork,
    identity: Identity,
    polygons: tuple[shapely.Polygon, ...],
    numbers: Mapping[str, float],
    supplied: str = "",
    drawing: str = "",
) -> MaskRecord:
    """Keep a mask with all its numbers, its rings in the order in which they are read again."""
    polygons = tuple(map(oriented, polygons))
    is_known, is_supplied = "blur_share" in numbers, bool(supplied)
    whole = numbers if is_known else measure_quality(work.slide(), polygons, numbers, is_supplied=is_supplied)
    work.set_polygons(polygons)
    record = MaskRecord(identity, polygons_fingerprint(polygons), whole, supplied=supplied, drawing=drawing)
    work.store.write_mask(work.stem, _as_geojson(work, polygons), record)
    return record


def _as_geojson(work: SlideWork, polygons: tuple[shapely.Polygon, ...]) -> bytes:
    """Return outlines as they are written for QuPath."""
    return geojson_bytes(polygons, work.stem, _written_frame(work), is_stated=any(work.slide_info().corner))


def _written_frame(work: SlideWork) -> OutlineFrame:
    return written_frame(work.slide_info().outline_frame, work.run.recipe.project.slides.masks_origin)


def _keep_as_qupath_counts(work: SlideWork, record: MaskRecord) -> None:
    """Write outlines anew that count from elsewhere than QuPath: of an earlier version, or under another option."""
    frame, path = _written_frame(work), work.store.geojson(work.stem)
    is_part = any(work.slide_info().corner) and work.polygons()
    if is_part and f'"{ORIGIN}":[{frame.x},{frame.y}]'.encode() not in path.read_bytes():
        work.store.write_mask(work.stem, _as_geojson(work, work.polygons()), record)


def _outcome(
    work: SlideWork,
    stage: OutputSpec,
    since: float,
    fingerprint: str,
    numbers: Mapping[str, int | float],
    why: str,
    status: Status,
    maker: str,
    notes: Sequence[str] = (),
) -> Outcome:
    """Return what became of the mask; it fails where the project blocks slides with such findings."""
    quality = work.run.recipe.project.quality
    blocked = blocked_reason(work.stem, numbers, quality)
    work.keep_notes(str(stage.step), fingerprint, notes)
    return work.outcome(
        stage,
        Status.FAILED if blocked else status,
        None if blocked else fingerprint,
        since,
        why=blocked or why,
        numbers=numbers,
        **({"recipe": {"outlines": maker}} if maker in WITHOUT_SEGMENTER else {}),
        facts={"made_by": maker, "edited": str(maker == "edited").lower()},
        path=work.store.geojson(work.stem),
        picture=show_mask(work, fingerprint, fresh=status is Status.COMPUTED),
        findings=judge_quality(numbers, quality),
        notes=notes,
    )
