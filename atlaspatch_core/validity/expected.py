"""The identity that every output of a slide is to have, from what is remembered of the slide alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from atlaspatch_core.errors import AtlasPatchError, UnusableMask
from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash, why_stale
from atlaspatch_core.layouts.supplied_coords import find_coords, read_coords
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.storage.records import Record
from atlaspatch_core.storage.slide_index import IndexedMask, IndexedSlide, indexed_slide
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.supplied_masks import MaskFolder, supplied_signature
from atlaspatch_core.validity.identities import coords_facts, identity_of, mask_facts, slide_facts, supplied_identity
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import EMPTY, SLIDE, TISSUE_MASK, OutputSpec, Recipe
from atlaspatch_core.validity.rules import (
    SlideOptions,
    interrupted_reason,
    is_automatic,
    is_valid,
    options_reason,
    source_reason,
)


class Expected(NamedTuple):
    """What an output is to be."""

    fingerprint: str | None
    """None where it cannot be known, or made."""
    stale_reason: str = ""
    """Why what lies there is not what the project asks for; slides and masks have such, others are compared."""
    blocked: str = ""
    """Why it cannot be made."""


@dataclass(frozen=True, slots=True)
class IdentityTemplate:
    """The text of an identity with gaps for fingerprints: hashing it for many slides costs little."""

    parts: tuple[str, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, make: Callable[[Sequence[str]], Identity], gaps: int) -> Self:
        """Return the form of what ``make`` returns for so many fingerprints."""
        marks = [f"<gap {number} of an identity's text>" for number in range(gaps)]
        text = canonical_json(make(marks).as_dict())
        places = sorted(range(gaps), key=lambda number: text.index(marks[number]))
        parts = []
        for place in places:
            part, text = text.split(marks[place])
            parts.append(part)
        return cls((*parts, text), tuple(places))

    def fill(self, *fingerprints: str) -> str:
        """Return the fingerprint of the identity with these in its gaps."""
        filled = (part + fingerprints[place] for part, place in zip(self.parts, self.order, strict=False))
        return short_hash("".join(filled) + self.parts[-1])


@dataclass(slots=True)
class Expectations:
    """Expected fingerprints of any number of slides; what many of them share is worked out once."""

    recipe: Recipe
    store: Store
    stated: Mapping[str, float | None] | None = None
    """Stem to the µm/px that the user states; None where the slides' folders were not looked at."""
    steps: Collection[OutputKey] | None = None
    """Steps to work out, with all that is upstream of them; None: all."""
    stages: tuple[OutputSpec, ...] = ()
    """Those of these steps."""
    _specs: dict[OutputKey, dict[str, Any]] = field(default_factory=dict)
    _blocked: dict[OutputKey, str] = field(default_factory=dict)
    _forms: dict[Any, IdentityTemplate] = field(default_factory=dict)
    _whys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Work out the specs."""
        self.stages = self.recipe.stages if self.steps is None else with_upstream(self.recipe, self.steps)
        for stage in self.stages:
            try:
                self._specs[stage.step] = stage.spec
            except AtlasPatchError as error:
                self._blocked[stage.step] = str(error)

    def of(self, stem: str, slide: IndexedSlide, polygons: str | None) -> dict[OutputKey, Expected]:
        """Return what is expected of every step; ``polygons`` is the fingerprint of those that lie there."""
        found = {SLIDE: self._slide(stem, slide)}
        for stage in self.stages:
            if stage.step == TISSUE_MASK:
                found[TISSUE_MASK] = self._mask(stem, slide, polygons, found[SLIDE])
            elif stage.step != SLIDE:
                found[stage.step] = self._later(stem, slide, stage, found)
        return found

    def fingerprint_as(
        self, stored: Identity, stem: str, slide: IndexedSlide, stage: OutputSpec, inputs: Mapping[OutputKey, str]
    ) -> str:
        """Return the fingerprint that an output of a slide would have had by the spec of another slide's output."""
        key = (stored.fingerprint, *self._key(slide, stage))
        if key not in self._forms:
            spec = {**stored.spec, **self.found(stem, slide, stage)}
            steps = stage.upstream
            self._forms[key] = IdentityTemplate.of(
                lambda marks: replace(
                    identity_of(stage, dict(zip(steps, marks, strict=True)), EMPTY, spec), version=stored.version
                ),
                len(steps),
            )
        return self._forms[key].fill(*(inputs[step] for step in stage.upstream))

    def found(self, stem: str, slide: IndexedSlide, stage: OutputSpec) -> Mapping[str, Any]:
        """Return what of a slide decides a stage beside its inputs. Raises FinerThanScanned, UnusableCoords."""
        if stage.step == TISSUE_MASK:
            return mask_facts(slide.info(stem)) if slide.axes else EMPTY
        if stage.step.kind != "patch_coords" or stage.geometry is None:
            return EMPTY
        info = slide.info(stem)
        if stage.geometry.coords is not None:
            return read_coords(find_coords(stage.geometry.coords, stem), info, stage.geometry).facts(info)
        return coords_facts(info, choose_sampling(info, stage.geometry.spec), stage.geometry.filters)

    def spec(self, stage: OutputSpec) -> dict[str, Any]:
        """Return what decides a stage on every slide, worked out once. Raises MissingWeights."""
        if stage.step not in self._specs:
            self._specs[stage.step] = stage.spec
        return self._specs[stage.step]

    def form(self, stage: OutputSpec, found: Mapping[str, Any], spec: Mapping[str, Any], key: Any) -> IdentityTemplate:
        """Return the form of a stage's identity; ``key`` tells specs and facts apart."""
        if key not in self._forms:
            steps = stage.upstream
            self._forms[key] = IdentityTemplate.of(
                lambda marks: identity_of(stage, dict(zip(steps, marks, strict=True)), found, spec), len(steps)
            )
        return self._forms[key]

    def _slide(self, stem: str, slide: IndexedSlide) -> Expected:
        stage, key = (
            self.recipe.stage(SLIDE),
            (SLIDE, slide.mpp, slide.magnification, slide.opened_by, slide.series, slide.reading),
        )
        if key not in self._forms:
            info = slide.info(stem)
            self._forms[key] = IdentityTemplate.of(
                lambda marks: stage.identity({}, slide_facts(marks[0], info), EMPTY), 1
            )
        fingerprint = self._forms[key].fill(slide.content)
        return Expected(fingerprint, self._reason_of_slide(stem, slide, fingerprint))

    def _reason_of_slide(self, stem: str, slide: IndexedSlide, fingerprint: str) -> str:
        asked = self.recipe.project.slides
        stated = (self.stated or {}).get(stem, slide.stated_mpp)
        reason = options_reason(
            SlideOptions(slide.stated_mpp, slide.full_hash, slide.reader, slide.mpp_keys, slide.series),
            SlideOptions(stated, asked.full_hash, asked.reader, asked.mpp_keys, asked.series),
        )
        return reason or ("" if is_valid(slide.fingerprint, fingerprint) else "another version of this step")

    def _mask(self, stem: str, slide: IndexedSlide, polygons: str | None, expected: Expected) -> Expected:
        mask = slide.mask
        if polygons is None:
            return Expected(None, blocked=self._blocked.get(TISSUE_MASK, ""))
        if mask is None or not is_automatic(mask, polygons):
            return Expected(polygons)
        folder = self.recipe.project.slides.masks
        sources = MaskFolder(folder).of(stem) if folder else []
        if len(sources) > 1:
            return Expected(None, blocked=str(UnusableMask(f"{stem}: {' and '.join(map(str, sources))}; leave one")))
        source = sources[0] if sources else None
        reason = interrupted_reason(mask, polygons) or source_reason(mask, source.name if source else None)
        return Expected(polygons, reason or self._reason_of_mask(stem, slide, source, str(expected[0])))

    def _reason_of_mask(self, stem: str, indexed: IndexedSlide, source: Path | None, slide: str) -> str:
        mask = indexed.mask
        assert mask is not None
        if source is not None:
            return self._reason_of_supplied(mask, source, slide, indexed.corner)
        if TISSUE_MASK in self._blocked:
            return self._blocked[TISSUE_MASK]
        stage, spec = self.recipe.stage(TISSUE_MASK), self._specs[TISSUE_MASK]
        found = self.found(stem, indexed, stage)
        if is_valid(mask.fingerprint, self.form(stage, found, spec, (TISSUE_MASK, indexed.axes)).fill(slide)):
            return ""
        return "slide changed" if mask.of_slide != slide else self._why_of_mask(stem, mask, slide, found)

    def _reason_of_supplied(self, mask: IndexedMask, source: Path, slide: str, corner: tuple[int, int]) -> str:
        if supplied_signature(source, corner, self.recipe.project.slides.masks_origin) != mask.supplied:
            return f"{source.name} changed"
        stage, simplify_um = self.recipe.stage(TISSUE_MASK), self.recipe.project.tissue.simplify_um
        asked = supplied_identity(stage, {SLIDE: slide}, source, mask.supplied_polygons, simplify_um)
        return "" if is_valid(mask.fingerprint, asked.fingerprint) else f"{source.name} is outlined otherwise"

    def _why_of_mask(self, stem: str, mask: IndexedMask, slide: str, found: Mapping[str, Any]) -> str:
        """Return what differs; masks of one spec differ in the same, so one record is read for all of them."""
        key = f"{mask.spec} {found}"
        if key not in self._whys:
            record = self.store.read_record(stem).tissue_mask
            stage = self.recipe.stage(TISSUE_MASK)
            expected = identity_of(stage, {SLIDE: slide}, found, self._specs[TISSUE_MASK])
            self._whys[key] = why_stale(record.identity if record else None, expected)
        return self._whys[key]

    def _later(
        self, stem: str, slide: IndexedSlide, stage: OutputSpec, before: Mapping[OutputKey, Expected]
    ) -> Expected:
        """Return what is expected of coords, features or an embedding."""
        if blocked := self._blocked.get(stage.step):
            return Expected(None, blocked=blocked)
        inputs = [before[step].fingerprint for step in stage.upstream]
        if not all(inputs):
            return Expected(None)
        try:
            key, found = self._facts(stem, slide, stage)
        except AtlasPatchError as error:
            return Expected(None, blocked=str(error))
        return Expected(self.form(stage, found, self._specs[stage.step], key).fill(*map(str, inputs)))

    def _facts(self, stem: str, slide: IndexedSlide, stage: OutputSpec) -> tuple[Any, Mapping[str, Any]]:
        key = self._key(slide, stage)
        return key, EMPTY if key in self._forms else self.found(stem, slide, stage)

    def _key(self, slide: IndexedSlide, stage: OutputSpec) -> tuple[Any, ...]:
        """Return what tells the form of a stage for one slide from that for another."""
        if stage.step.kind != "patch_coords":
            return (stage.step,)
        if stage.geometry and stage.geometry.coords:
            return (stage.step, slide.fingerprint)
        return (stage.step, slide.mpp, slide.magnification, slide.downsamples, slide.axes)


def with_upstream(recipe: Recipe, steps: Collection[OutputKey]) -> tuple[OutputSpec, ...]:
    """Return the stages of these steps and all that they are computed from, upstream first."""
    wanted = set(steps)
    for stage in reversed(recipe.stages):
        if stage.step in wanted:
            wanted |= set(stage.upstream)
    return tuple(stage for stage in recipe.stages if stage.step in wanted)


def expected(recipe: Recipe, record: Record, polygons: str | None) -> dict[OutputKey, Identity]:
    """Return the identity that every output of one slide is to have, by the very code that the steps use.

    ``polygons`` is the fingerprint of its mask. What cannot be known or made is left out: everything but the slide
    without polygons, patches finer than scanned, encoders without weights. A supplied mask is taken for unchanged.
    """
    known = indexed_slide(record)
    if known is None or record.slide is None:
        return {}
    facts = slide_facts(known.content, record.slide.info)
    found = {SLIDE: identity_of(recipe.stage(SLIDE), {}, facts)}
    fingerprints = {SLIDE: found[SLIDE].fingerprint} | ({TISSUE_MASK: polygons} if polygons else {})
    expectations = Expectations(recipe, Store(recipe.project.output))
    for stage in recipe.stages[1:]:
        try:
            spec = _spec_of_mask(record) if stage.step == TISSUE_MASK else None
            more = EMPTY if spec else expectations.found(record.slide.info.stem, known, stage)
            found[stage.step] = identity_of(stage, fingerprints, more, spec)
        except (AtlasPatchError, KeyError):
            continue
        fingerprints.setdefault(stage.step, found[stage.step].fingerprint)
    return found


def _spec_of_mask(record: Record) -> Mapping[str, Any] | None:
    mask = record.tissue_mask
    return mask.identity.spec if mask and mask.supplied else None
