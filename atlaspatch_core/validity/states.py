"""What of a project is fresh, stale, missing or failed, and why; ``identify_slide`` alone opens slides."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from atlaspatch_core.fingerprint import upstream_reason
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.storage.slide_index import IndexedSlide, SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.expected import Expectations, Expected, IdentifySlide
from atlaspatch_core.validity.identities import input_name
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, OutputSpec, Recipe
from atlaspatch_core.validity.rules import State, state_of
from atlaspatch_core.validity.stale_reasons import StaleOutput, StaleReasons
from atlaspatch_core.validity.stored import Stored

MOST_READ = 20
"""Files of outputs of one step that are read to say why they are stale, where not all are asked for."""


@dataclass(frozen=True, slots=True)
class Validity:
    """The state of one output of one slide."""

    stem: str
    step: OutputKey
    state: State
    why: str = ""


UNKNOWN = Expected(None)
"""Of a slide that was never identified."""


@dataclass(slots=True)
class StalenessChecker:
    """Compares what is stored with what is expected."""

    recipe: Recipe
    stored: Stored
    slide_index: SlideIndex
    expectations: Expectations
    reasons: StaleReasons

    def states(self, stem: str) -> Iterator[Validity]:
        """Yield the state of every output of a slide, upstream first."""
        slide, polygons = self.slide_index.slides.get(stem), self.slide_index.polygons.get(stem)
        expected, outputs = UNKNOWN, {}
        if slide or self._has_results(stem):
            slide, expected = self.expectations.identify(stem, slide)
        if slide:
            outputs = self.expectations.outputs_of_identified(stem, slide, polygons, expected)
        states: dict[OutputKey, State] = {}
        for stage in self.expectations.stages:
            state, why = self._state(stem, slide, stage, outputs, states)
            states[stage.step] = state
            yield Validity(stem, stage.step, state, why)

    def _state(
        self,
        stem: str,
        slide: IndexedSlide | None,
        stage: OutputSpec,
        outputs: Mapping[OutputKey, Expected],
        before: Mapping[OutputKey, State],
    ) -> tuple[State, str]:
        expected = outputs.get(stage.step, UNKNOWN)
        changed = next((up for up in stage.upstream if before[up] in (State.STALE, State.MISSING)), None)
        upstream = upstream_reason(changed and input_name(changed))
        stored = self._fingerprint(stem, stage, outputs, patches_stand=changed is None)
        return state_of(
            stored if slide else None,
            expected.fingerprint,
            failure=self._failure(stem, stage, outputs),
            reasons=(expected.stale_reason,),
            upstream=upstream,
            upstream_first=[upstream_reason(input_name(up)) for up in stage.upstream],
            certain=expected.certain,
            difference=lambda: self._why(stem, slide, stage, stored, outputs, upstream) if slide and stored else "",
        )

    def _has_results(self, stem: str) -> bool:
        """Tell whether anything is stored of a slide, be it without a record."""
        return any(stem in of_step for of_step in self.stored.fingerprints.values())

    def _fingerprint(
        self, stem: str, stage: OutputSpec, outputs: Mapping[OutputKey, Expected], *, patches_stand: bool = True
    ) -> str | None:
        """Return the stored fingerprint; a slide without patches has the embedding that it can have.

        Where what it was laid from changed, it may get patches, and has no embedding of them.
        """
        stored = self.stored.fingerprints.get(stage.step, {}).get(stem)
        if stage.step.kind != "slide_embedding" or not patches_stand:
            return stored
        expected = outputs[stage.step].fingerprint if stage.step in outputs else None
        bare = self.stored.without_patches.get(stage.step.geometry, ())
        return expected if stored != expected and stem in bare else stored

    def _failure(self, stem: str, stage: OutputSpec, outputs: Mapping[OutputKey, Expected]) -> str:
        broken = self.slide_index.broken.get(stem, "")
        of_record = SLIDE if stem not in self.slide_index.slides else TISSUE_MASK
        if broken and stage.step == of_record:
            return broken
        failure = self.stored.failed.get(stage.step, {}).get(stem)
        return failure or (outputs[stage.step].blocked if stage.step in outputs else "")

    def _why(
        self,
        stem: str,
        slide: IndexedSlide,
        stage: OutputSpec,
        stored: str,
        outputs: Mapping[OutputKey, Expected],
        upstream: str,
    ) -> str:
        """Return which field differs; else what is known."""
        if stage.step == TISSUE_MASK:
            return "the outlines changed"
        inputs = {step: str(outputs[step].fingerprint) for step in stage.upstream}
        made_of = self._stored_inputs(stem, slide, stage, outputs)
        fingerprints = upstream or f"fingerprint {stored} → {outputs[stage.step].fingerprint}"
        return self.reasons.reason(StaleOutput(stem, slide, stage, stored, inputs, made_of)) or fingerprints

    def _stored_inputs(
        self, stem: str, slide: IndexedSlide, stage: OutputSpec, outputs: Mapping[OutputKey, Expected]
    ) -> list[dict[OutputKey, str]]:
        """Return of what an output may have been made: of what lies there upstream, or of the mask as it was made."""
        on_disk = {step: self._fingerprint(stem, self.recipe.stage(step), outputs) for step in stage.upstream}
        inputs = {step: fingerprint for step, fingerprint in on_disk.items() if fingerprint}
        if len(inputs) < len(stage.upstream):
            return []
        automatic = {TISSUE_MASK: slide.mask.polygons} if slide.mask and TISSUE_MASK in inputs else {}
        return [inputs, inputs | automatic] if automatic else [inputs]


def validities(
    recipe: Recipe,
    stems: Iterable[str],
    stored: Stored,
    *,
    steps: Collection[OutputKey] | None = None,
    stated: Mapping[str, float | None] | None = None,
    series: Mapping[str, SeriesChoice] = MappingProxyType({}),
    slide_index: SlideIndex | None = None,
    identify_slide: IdentifySlide | None = None,
    remember: bool = True,
    most_read: int | None = MOST_READ,
) -> Iterator[Validity]:
    """Yield the state of outputs of these slides, slide by slide, upstream first; of all, or of ``steps`` alone.

    Expected identities come from records and outlines; of what is stored only fingerprints are compared, and identities
    are read to say why: one for all outputs that are stale for the same reason.

    Args:
        recipe: What is to be.
        stems: The slides.
        stored: What is there: ``stored_in_files`` reads it.
        steps: Outputs to tell of; all by default.
        stated: What the user says of µm/px, by stem.
        series: Which image of its file a slide is to be, by stem, where that is not the same for all.
        slide_index: The index of slides, where it was read already.
        identify_slide: Finds out who a slide is now; by default its record alone tells, and options that changed
            make it stale.
        remember: False writes nothing, not even caches.
        most_read: Files that are read for a step; None: as many as outputs were made in different ways. Of others, the
            fingerprints are told.

    Yields:
        One validity an output: fresh, stale with why, missing, or failed with why.

    Example:
        >>> steps = [stage.step for stage in recipe.stages][1:3]
        >>> for output in validities(recipe, ["CMU-1-Small-Region", "b"], stored_in_files(recipe), steps=steps):
        ...     print(output.stem, output.step, output.state)
        CMU-1-Small-Region tissue_mask fresh
        CMU-1-Small-Region patch_coords fresh
        b tissue_mask missing
        b patch_coords missing
    """
    store = Store(recipe.project.output)
    expectations = Expectations(recipe, store, stated, steps, identify_slide, series=series)
    index = slide_index or read_slide_index(store, recipe.project.slides.masks_origin, remember=remember)
    checker = StalenessChecker(recipe, stored, index, expectations, StaleReasons(expectations, most_read))
    for stem in stems:
        yield from (validity for validity in checker.states(stem) if steps is None or validity.step in steps)
