"""Identities of outputs by what their slides decide, worked out once for all slides that decide it alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atlaspatch_core.errors import MissingUpstream
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.layouts.supplied_coords import find_coords, read_coords
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.slides.slide import NamesOf, SlideInfo, only_stem
from atlaspatch_core.storage.slide_index import IndexedSlide
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.identities import coords_facts, drawing_facts, identity_of, mask_facts, slide_facts
from atlaspatch_core.validity.identity_template import IdentityTemplate
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import EMPTY, SLIDE, TISSUE_MASK, OutputSpec


@dataclass(slots=True)
class SlideIdentities:
    """Fingerprints of outputs of any number of slides."""

    store: Store
    names_of: NamesOf = only_stem
    least_share: float = 0.0
    """Of a piece of tissue, of the slide's area."""
    drawings: dict[str, str] = field(default_factory=dict)
    """Stem to how the mask is drawn that is supplied now, where its file was read again."""
    infos: dict[str, SlideInfo] = field(default_factory=dict)
    """Of slides that were identified again."""
    _templates: dict[Any, IdentityTemplate] = field(default_factory=dict)

    def slide_fingerprint(self, stem: str, slide: IndexedSlide, stage: OutputSpec) -> str:
        """Return the fingerprint of a slide itself."""
        key = (SLIDE, slide.mpp, slide.magnification, slide.opened_by, slide.series, slide.reading, slide.plugin)
        return self._fingerprint(
            key, [slide.content], lambda marks: stage.identity({}, slide_facts(marks[0], slide.info(stem)), EMPTY)
        )

    def fingerprint(
        self, stem: str, slide: IndexedSlide, stage: OutputSpec, spec: Mapping[str, Any], inputs: Sequence[str]
    ) -> str:
        """Return the fingerprint of an output by the stage's ``spec`` and the fingerprints of what is upstream of it.

        Raises FinerThanScanned, UnusableCoords, MissingUpstream.
        """

        drawing = self.facts_of_drawing(stem, slide, stage, dict(zip(stage.upstream, inputs, strict=True)))

        def make_identity(marks: Sequence[str]) -> Identity:
            facts = {**self.facts_of_slide(stem, slide, stage), **drawing}
            return identity_of(stage, dict(zip(stage.upstream, marks, strict=True)), facts, spec)

        if stage.step.kind == "patch_coords" and stage.geometry and stage.geometry.coords:  # facts of this slide alone
            return make_identity(inputs).fingerprint
        return self._fingerprint((*key_of(slide, stage), *drawing.items()), inputs, make_identity)

    def facts_of_drawing(
        self, stem: str, slide: IndexedSlide, stage: OutputSpec, inputs: Mapping[OutputKey, str]
    ) -> Mapping[str, Any]:
        """Return how the slide's mask was drawn, where that decides coords; ``inputs`` has its polygons."""
        if stage.step.kind != "patch_coords" or stage.geometry is None or TISSUE_MASK not in inputs:
            return EMPTY
        mask = slide.mask
        as_supplied = mask and mask.supplied and mask.polygons == inputs[TISSUE_MASK]
        drawing = self.drawings.get(stem, mask.drawing) if mask and as_supplied else ""
        return drawing_facts(stage.geometry.rule, drawing, self.least_share)

    def _fingerprint(self, key: Any, inputs: Sequence[str], make_identity: Callable[[Sequence[str]], Identity]) -> str:
        if key not in self._templates:
            self._templates[key] = IdentityTemplate.from_identity(make_identity, len(inputs))
        return self._templates[key].fingerprint(*inputs)

    def facts_of_slide(self, stem: str, slide: IndexedSlide, stage: OutputSpec) -> Mapping[str, Any]:
        """Return what of a slide decides a stage beside its inputs. Raises FinerThanScanned, UnusableCoords."""
        if stage.step == TISSUE_MASK:
            return mask_facts(slide.info(stem)) if slide.axes else EMPTY
        if stage.step.kind != "patch_coords" or stage.geometry is None:
            return EMPTY
        if stage.geometry.coords is not None:
            info = self.info_of(stem)
            return read_coords(find_coords(stage.geometry.coords, stem, self.names_of), info, stage.geometry).facts(
                info
            )
        info = slide.info(stem)
        return coords_facts(info, choose_sampling(info, stage.geometry.spec), stage.geometry.filters)

    def info_of(self, stem: str) -> SlideInfo:
        """Return all that is known of a slide. Raises MissingUpstream."""
        if stem in self.infos:
            return self.infos[stem]
        record = self.store.read_record(stem).slide
        if record is None:
            raise MissingUpstream(f"{stem}: the slide was not looked at; run its first step too")
        return record.info


def key_of(slide: IndexedSlide, stage: OutputSpec) -> tuple[Any, ...]:
    """Return what tells identity and facts of a stage for one slide from those for another, but for the inputs."""
    if stage.step == TISSUE_MASK:
        return (stage.step, slide.axes)
    if stage.step.kind != "patch_coords":
        return (stage.step,)
    if stage.geometry and stage.geometry.coords:
        return (stage.step, slide.fingerprint)
    return (stage.step, slide.mpp, slide.magnification, slide.downsamples, slide.axes)
