"""What is remembered of all slides of a project, read in bulk: no slide and no HDF5 file is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import canonical_json, short_hash
from atlaspatch_core.slides.slide import WHOLE_SLIDE, Level, OutlineFrame, SlideInfo
from atlaspatch_core.storage.file_index import FileIndex, list_files
from atlaspatch_core.storage.records import MaskRecord, Record, SlideRecord, StepNotes, read_record
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import polygons_fingerprint, read_geojson
from atlaspatch_core.tissue.outline_origin import Origin
from atlaspatch_core.tissue.quality import judged_numbers

VERSION = 12


@dataclass(frozen=True, slots=True)
class IndexedMask:
    """A mask record without the numbers that nobody judges."""

    fingerprint: str
    """Of its identity."""
    polygons: str
    mtime_ns: int
    superseded: str | None
    supplied: str
    spec: str
    """Hash of what decided it beside the slide."""
    of_slide: str
    """Fingerprint of the slide that it was made for."""
    supplied_polygons: str
    """Fingerprint of the polygons of the supplied file, empty for a segmenter's mask."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Those that are judged, and what the words on them need."""
    drawing: str = ""
    """What tells the drawing in the supplied file from others of equal polygons."""


@dataclass(frozen=True, slots=True)
class IndexedSlide:
    """A slide record with the fields that decide identities."""

    fingerprint: str
    content: str
    mpp: float
    magnification: float
    downsamples: tuple[float, ...]
    """Of its levels, finest first."""
    stated_mpp: float | None
    full_hash: bool
    opened_by: str
    """Name of the reader."""
    reader: str | None
    """The one that the user asked for, if any."""
    mpp_keys: tuple[str, ...]
    mask: IndexedMask | None = None
    frame: OutlineFrame = WHOLE_SLIDE
    """From where its outlines count, and in which px."""
    series: int | None = None
    """The image of the file that the user asked for, if any."""
    reading: str = ""
    """What of the file is not taken."""
    axes: tuple[tuple[float, float] | None, ...] = ()
    """Of its levels, along x and y, where these differ; empty where none does."""
    mark: str = ""
    """What tells an unchanged slide, asked for in the same way."""
    notes: tuple[str, ...] = ()
    """What a person should know of the slide."""
    square_pixels: bool = False
    """Whether pixels that are not square were to be made so."""
    step_notes: Mapping[str, StepNotes] = field(default_factory=dict)
    """Output, as text, or its pictures, to the notes on it."""
    scale_sources: tuple[str, str] = ("", "")
    """Where µm/px and magnification were found."""
    plugin: str | None = None
    """sha256 of the plugin file whose reader opened it."""

    def info(self, stem: str) -> SlideInfo:
        """Return what sampling wants to know; sides are left out."""
        axes = self.axes or (None,) * len(self.downsamples)
        levels = tuple(Level(0, 0, *scale) for scale in zip(self.downsamples, axes, strict=True))
        mpp_source, magnification_source = self.scale_sources
        facts = (stem, Path(), self.opened_by, levels, self.mpp, mpp_source, self.magnification, magnification_source)
        return SlideInfo(*facts, series=self.series, reading=self.reading, file_px=self.frame[2:], plugin=self.plugin)


@dataclass(frozen=True, slots=True)
class SlideIndex:
    """All slides that were ever looked at, by stem."""

    slides: Mapping[str, IndexedSlide]
    polygons: Mapping[str, str]
    """Stem to the fingerprint of the polygons as they lie in the GeoJSON now."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Stem to what is wrong with its record or its GeoJSON."""
    origin: Origin = "auto"
    """From where outlines were taken to count that do not say so."""


def read_slide_index(store: Store, origin: Origin = "auto", *, remember: bool = True) -> SlideIndex:
    """Return what is remembered of all slides. What was read before and lies untouched is not read again.

    ``origin`` is from where outlines count that do not say so. Without ``remember`` nothing is written.
    """
    index = FileIndex(store.index("records"), _record, VERSION, remember)
    rows = index.read_values(list_files(store.record("any").parent, ".json"), store.record)
    slides = {stem: _slide_of_row(row) for stem, row in rows.items() if row and not isinstance(row, str)}
    broken = {stem: row for stem, row in rows.items() if isinstance(row, str)}
    outlines = list_files(store.geojson("any").parent, ".geojson")
    masks = {stem: slide.mask for stem, slide in slides.items() if slide.mask}
    as_made = {stem for stem, mask in masks.items() if stem in outlines and outlines[stem].st_mtime_ns == mask.mtime_ns}
    edited = {stem: stat for stem, stat in outlines.items() if stem not in as_made}
    frames = {stem: slide.frame for stem, slide in slides.items() if slide.frame != WHOLE_SLIDE}
    read = FileIndex(store.index("outlines"), partial(_outlines, frames, origin), VERSION, remember).read_values(
        edited, store.geojson, {stem: f" {origin} from {' '.join(map(str, frame))}" for stem, frame in frames.items()}
    )
    polygons = {stem: masks[stem].polygons for stem in as_made} | {
        stem: reading[0] for stem, reading in read.items() if reading[0]
    }
    return SlideIndex(
        slides, polygons, broken | {stem: reading[1] for stem, reading in read.items() if reading[1]}, origin
    )


def indexed_slide(slide: SlideRecord, mask: MaskRecord | None = None) -> IndexedSlide:
    """Return what decides identities."""
    return _slide_of_row(_row(slide, Record(slide, mask)))


def _record(path: Path) -> Any:
    try:
        record = read_record(path)
        return record.slide and _row(record.slide, record)
    except AtlasPatchError as error:
        return str(error)


def _row(slide: SlideRecord, record: Record) -> list[Any]:
    """Return the fields of ``IndexedSlide`` as JSON has them."""
    info, mask = slide.info, record.tissue_mask
    downsamples = [level.downsample for level in info.levels]
    facts = (slide.content, info.mpp, info.magnification, downsamples)
    options = (slide.stated_mpp, slide.full_hash, info.reader, slide.reader, list(slide.mpp_keys))
    more = (
        list(info.outline_frame),
        info.series,
        info.reading,
        _axes(info),
        slide.mark,
        list(slide.notes),
        slide.square_pixels,
        record.notes,
        (info.mpp_source, info.magnification_source),
        info.plugin,
    )
    return [slide.identity.fingerprint, *facts, *options, _mask_row(mask) if mask else None, *more]


def _axes(info: SlideInfo) -> list[tuple[float, float] | None]:
    """Return the scales of levels along x and y, None for one that has the same along both; empty where all have."""
    return [level.axes for level in info.levels] if any(level.axes for level in info.levels) else []


def _mask_row(mask: MaskRecord) -> list[Any]:
    identity = mask.identity
    spec = short_hash(canonical_json([identity.version, dict(identity.spec)]))
    fields = (mask.polygons, mask.mtime_ns, mask.superseded, mask.supplied)
    numbers = judged_numbers(mask.numbers)
    return [
        identity.fingerprint,
        *fields,
        spec,
        identity.inputs["slide"],
        mask.supplied_polygons,
        numbers,
        mask.drawing,
    ]


def _slide_of_row(row: list[Any]) -> IndexedSlide:
    fingerprint, content, mpp, magnification, downsamples, *rest = row
    stated, full_hash, opened_by, reader, keys, mask, *rest = rest
    frame, series, reading, axes, mark, notes, square, step_notes, sources, plugin = rest
    mask_fields = IndexedMask(*mask) if mask else None
    facts = (fingerprint, content, mpp, magnification, tuple(downsamples))
    options, scales = (
        (stated, full_hash, opened_by, reader, tuple(keys)),
        tuple(scale and tuple(scale) for scale in axes),
    )
    of_steps = {step: StepNotes(of, tuple(texts)) for step, (of, texts) in step_notes.items()}
    others = (mask_fields, OutlineFrame(*frame), series, reading, scales, mark, tuple(notes), square, of_steps)
    return IndexedSlide(*facts, *options, *others, tuple(sources), plugin)


def _outlines(frames: Mapping[str, OutlineFrame], origin: Origin, path: Path) -> tuple[str, str]:
    """Return the fingerprint of the polygons, or what is wrong with the file."""
    frame = frames.get(path.name.removesuffix(".geojson"), WHOLE_SLIDE)
    try:
        return polygons_fingerprint(read_geojson(path, frame=frame, origin=origin)), ""
    except AtlasPatchError as error:
        return "", str(error)
