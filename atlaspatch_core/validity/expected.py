"""The identity that every output of a slide is to have, from what is remembered of the slide alone."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.hidden_names import without_hidden_names
from atlaspatch_core.slides.sections import ALL, SeriesChoice
from atlaspatch_core.storage.records import SlideRecord
from atlaspatch_core.storage.slide_index import IndexedMask, IndexedSlide, indexed_slide
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import polygons_fingerprint, read_outlines
from atlaspatch_core.tissue.supplied_masks import find_mask, outline_notes, read_mask, supplied_signature, tissue_values
from atlaspatch_core.validity.identities import identity_of, supplied_identity
from atlaspatch_core.validity.mask_stops import EDITED_CURE, blocked_reason, edited_numbers
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.project_plugins import current_plugin
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, OutputSpec, Recipe
from atlaspatch_core.validity.rules import (
    SlideOptions,
    interrupted_reason,
    is_automatic,
    is_valid,
    options_reason,
    slide_reason,
    source_reason,
    stale_reason,
)
from atlaspatch_core.validity.slide_identities import SlideIdentities

IdentifySlide = Callable[[str, str], SlideRecord | None]
"""Takes a stem and the mark of its record, empty where that does not hold; returns what the slide is now, or None for
one of which nothing changed. Raises what opening a slide raises."""


class Expected(NamedTuple):
    """What an output is to be."""

    fingerprint: str | None
    """None where it cannot be known, or made."""
    stale_reason: str = ""
    """Why what lies there is not what the project asks for; slides and masks have such, others are compared."""
    blocked: str = ""
    """Why it cannot be made."""
    certain: bool = False
    """Whether the next run leaves an output with this very fingerprint: not so where it finds tissue anew."""


@dataclass(slots=True)
class Expectations:
    """Expected fingerprints of any number of slides; what many of them share is worked out once."""

    recipe: Recipe
    store: Store
    stated: Mapping[str, float | None] | None = None
    """Stem to the µm/px that the user states; None where the slides' folders were not looked at."""
    steps: Collection[OutputKey] | None = None
    """Steps to work out, with all that is upstream of them; None: all."""
    identify_slide: IdentifySlide | None = None
    """Finds out who a slide is now; None: the record alone tells."""
    series: Mapping[str, SeriesChoice] = field(default_factory=dict)
    """Stem to the image of its file that is asked for; of others the project says it, or else their record."""
    stages: tuple[OutputSpec, ...] = ()
    """Those of these steps."""
    identities: SlideIdentities = field(init=False)
    _specs: dict[OutputKey, dict[str, Any]] = field(default_factory=dict)
    _blocked: dict[OutputKey, str] = field(default_factory=dict)
    _mask_reasons: dict[Any, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Work out the specs."""
        project = self.recipe.project
        self.identities = SlideIdentities(self.store, project.names_of, project.tissue.min_tissue_share)
        self.stages = self.recipe.with_upstream(self.steps)
        for stage in self.stages:
            try:
                self._specs[stage.step] = stage.spec
            except AtlasPatchError as error:
                self._blocked[stage.step] = str(error)

    def expected_outputs(self, stem: str, slide: IndexedSlide, polygons: str | None) -> dict[OutputKey, Expected]:
        """Return what is expected of every step; ``polygons`` is the fingerprint of those that lie there."""
        return self.outputs_of_identified(stem, slide, polygons, self._expected_slide(stem, slide))

    def outputs_of_identified(
        self, stem: str, slide: IndexedSlide, polygons: str | None, expected_slide: Expected
    ) -> dict[OutputKey, Expected]:
        """Return what is expected of every step of a slide of which that was found out already."""
        outputs = {SLIDE: expected_slide}
        for stage in self.stages:
            if stage.step == TISSUE_MASK:
                outputs[TISSUE_MASK] = self._expected_mask(stem, slide, polygons, expected_slide)
            elif stage.step != SLIDE:
                outputs[stage.step] = self._expected_downstream(stem, slide, stage, outputs)
        return outputs

    def identify(self, stem: str, slide: IndexedSlide | None) -> tuple[IndexedSlide | None, Expected]:
        """Return a slide as it is now, and what is expected of it.

        Where the files are at hand, one that changed, or is asked for in another way, or has no record, is opened as a
        run opens it.
        """
        expected = self._expected_slide(stem, slide) if slide else Expected(None)
        if self.identify_slide is None:
            return slide, expected
        valid = slide and is_valid(slide.fingerprint, str(expected.fingerprint))
        try:
            record = self.identify_slide(stem, slide.mark if slide and valid else "")
        except AtlasPatchError as error:
            return slide, Expected(None, blocked=str(error))
        if record is None:
            return slide, expected._replace(certain=True)
        stored = self.store.read_record(stem).slide
        self.identities.infos[stem] = record.info
        now = replace(indexed_slide(record), mask=slide.mask if slide else None)
        return now, Expected(record.identity.fingerprint, slide_reason(stored, record), certain=True)

    def spec(self, stage: OutputSpec) -> dict[str, Any]:
        """Return what decides a stage on every slide, worked out once. Raises MissingWeights."""
        if stage.step not in self._specs:
            self._specs[stage.step] = stage.spec
        return self._specs[stage.step]

    def _expected_slide(self, stem: str, slide: IndexedSlide) -> Expected:
        now = replace(slide, plugin=current_plugin(slide.plugin, self.recipe.plugins))
        fingerprint = self.identities.slide_fingerprint(stem, now, self.recipe.stage(SLIDE))
        changed = f"plugin {slide.plugin} → {now.plugin}" if slide.plugin != now.plugin else ""
        return Expected(fingerprint, changed or self._reason_of_slide(stem, slide, fingerprint))

    def _reason_of_slide(self, stem: str, slide: IndexedSlide, fingerprint: str) -> str:
        """Return why a slide that is not looked at again may be another one."""
        options = self.recipe.project.slides
        stated = (self.stated or {}).get(stem, slide.stated_mpp)
        reason = options_reason(
            SlideOptions(
                slide.stated_mpp, slide.full_hash, slide.reader, slide.mpp_keys, slide.series, slide.square_pixels
            ),
            SlideOptions(
                stated,
                options.full_hash,
                options.reader,
                options.scale_keys,
                self._series(stem, slide),
                options.square_pixels,
            ),
        )
        return reason or ("" if is_valid(slide.fingerprint, fingerprint) else "another version of this step")

    def _series(self, stem: str, slide: IndexedSlide) -> SeriesChoice:
        """Return which image of its file a slide is to be; where each scan is a slide, its record knows."""
        choice = self.recipe.project.slides.series
        return self.series.get(stem, slide.series if choice == ALL else choice)

    def _expected_mask(
        self, stem: str, slide: IndexedSlide, polygons: str | None, expected_slide: Expected
    ) -> Expected:
        """Return the polygons that lie there, or lay there last, and why others are to be."""
        mask = slide.mask
        if polygons and not is_automatic(mask, polygons):
            return Expected(polygons, blocked=self._stop_of_edited(stem, mask, expected_slide), certain=True)
        latest = polygons or (mask.polygons if mask else None)
        try:
            project = self.recipe.project
            source = find_mask(
                project.slides.masks, stem, project.names_of, lambda: self.identities.info_of(stem).path.parent
            )
            if source is None and TISSUE_MASK in self._blocked:
                return Expected(latest, blocked=self._blocked[TISSUE_MASK])
            interrupted = interrupted_reason(mask, polygons)
            of_slide = str(expected_slide.fingerprint)
            reason = interrupted or (self._reason_of_mask(stem, slide, mask, source, of_slide) if mask else "")
            if source and not mask:
                self._read_supplied(stem, source)
            is_reused = bool(polygons) and not reason
            blocked = blocked_reason(stem, mask.numbers, self.recipe.project.quality) if mask and is_reused else ""
            return Expected(latest, reason, blocked, certain=expected_slide.certain and is_reused)
        except AtlasPatchError as error:
            return Expected(latest, blocked=str(error))

    def _reason_of_mask(
        self, stem: str, slide: IndexedSlide, mask: IndexedMask, source: Path | None, of_slide: str
    ) -> str:
        """Return why a mask is to be made anew, or an empty text. Raises UnusableMask, UnreadableOutput."""
        stage, touched = self.recipe.stage(TISSUE_MASK), ""
        if source is None:
            spec = self._specs[TISSUE_MASK]
            if is_valid(mask.fingerprint, self.identities.fingerprint(stem, slide, stage, spec, [of_slide])):
                return ""
            facts = self.identities.facts_of_slide(stem, slide, stage)
            identity = identity_of(stage, {SLIDE: of_slide}, facts, spec)
        else:
            slides, simplify_um = self.recipe.project.slides, self.recipe.project.tissue.simplify_um
            labels = tissue_values(source, stem, slides.mask_values)
            as_drawn = self.recipe.project.follows_drawings
            if mask.supplied != supplied_signature(source, slide.frame, slides.masks_origin, labels, as_drawn=as_drawn):
                touched = self._read_supplied(stem, source)
            inputs, supplied = {SLIDE: of_slide}, touched or mask.supplied_polygons
            identity = supplied_identity(stage, inputs, source, supplied, simplify_um, labels)
            if is_valid(mask.fingerprint, identity.fingerprint):
                return ""
            if not touched:
                self._read_supplied(stem, source)
        cause = source_reason(mask, without_hidden_names(source.name) if source else None, touched)
        return cause or self._mask_difference(stem, mask, identity)

    def _read_supplied(self, stem: str, source: Path) -> str:
        """Return the fingerprint of the polygons in a supplied file. Raises UnusableMask."""
        slides, simplify_um = self.recipe.project.slides, self.recipe.project.tissue.simplify_um
        labels = tissue_values(source, stem, slides.mask_values)
        supplied = read_mask(source, self.identities.info_of(stem), simplify_um, slides.masks_origin, labels)
        if self.recipe.project.follows_drawings:
            self.identities.drawings[stem] = supplied.drawing
        return polygons_fingerprint(supplied.polygons)

    def _stop_of_edited(self, stem: str, mask: IndexedMask | None, expected_slide: Expected) -> str:
        """Return why a slide is not worked on with the polygons that a person drew, or an empty text."""
        path, origin = self.store.geojson(stem), self.recipe.project.slides.masks_origin
        try:
            info = self.identities.info_of(stem)
            outlines = read_outlines(path, frame=info.outline_frame, origin=origin)
            outline_notes(path, outlines, info, EDITED_CURE)
        except AtlasPatchError as error:
            return str(error)
        numbers = mask.numbers if mask and mask.of_slide == expected_slide.fingerprint else {}
        quality = self.recipe.project.quality
        return blocked_reason(stem, edited_numbers(outlines, info, numbers), quality) if quality.block else ""

    def _mask_difference(self, stem: str, mask: IndexedMask, expected: Identity) -> str:
        """Return what differs; masks of one spec differ in the same, so one record is read for all of them."""
        key = (mask.spec, expected.version, canonical_json(expected.spec), mask.of_slide == expected.inputs[SLIDE.kind])
        if key not in self._mask_reasons:
            record = self.store.read_record(stem).tissue_mask
            self._mask_reasons[key] = stale_reason(record.identity if record else None, expected)
        return self._mask_reasons[key]

    def _expected_downstream(
        self, stem: str, slide: IndexedSlide, stage: OutputSpec, upstream: Mapping[OutputKey, Expected]
    ) -> Expected:
        """Return what is expected of coords, features or an embedding."""
        if blocked := self._blocked.get(stage.step):
            return Expected(None, blocked=blocked)
        inputs = [upstream[step].fingerprint for step in stage.upstream]
        if not all(inputs):
            return Expected(None)
        try:
            spec = self._specs[stage.step]
            fingerprint = self.identities.fingerprint(stem, slide, stage, spec, list(map(str, inputs)))
        except AtlasPatchError as error:
            return Expected(None, blocked=str(error))
        return Expected(fingerprint, certain=all(upstream[step].certain for step in stage.upstream))
