"""Cases in, outcomes out: the slides through the pipeline once, then one embedding a case."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.inference import checked
from atlaspatch_core.encoders.patient import FOR_CASES
from atlaspatch_core.errors import AtlasPatchError, DamagedOutput, MissingUpstream, OutputInUse, UnreadableOutput
from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash
from atlaspatch_core.pipeline.attempts import attempt_step, with_damage_marked
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.patients.files import (
    SlideFile,
    case_path,
    case_reason,
    inputs_of,
    keep_case,
    read_case,
    remove_case,
)
from atlaspatch_core.pipeline.patients.manifest import Case, Manifest
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.pipeline.steps.embedding import embedding_numbers
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage import schema
from atlaspatch_core.storage.atomic import remove_half_written
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.rules import DAMAGED_ON_DISK, compute_reason

NO_PATCHES = "no slide of the case has a patch, so there is nothing to embed"


@dataclass(slots=True)
class CaseSlides:
    """What became of the slides of a run."""

    fingerprints: dict[tuple[str, OutputKey], str] = field(default_factory=dict)
    """Stem and step to the fingerprint of features that are valid now."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Stem to what went wrong first."""

    def remember_outcome(self, outcome: Outcome) -> None:
        """Remember an outcome."""
        if outcome.status is Status.FAILED:
            self.reasons.setdefault(outcome.stem, outcome.why)
        elif outcome.fingerprint:
            self.fingerprints[outcome.stem, outcome.step] = outcome.fingerprint


def encode_cases(
    manifest: Manifest,
    recipe: Recipe,
    *,
    cases: Sequence[Case] | None = None,
    stages: Sequence[OutputSpec] | None = None,
    force: bool = False,
    on_patches: Callable[[str, int, int], None] | None = None,
) -> Generator[Outcome]:
    """Yield the outcomes of the slides up to their features, each slide once, and then those of the cases.

    A case with a slide that failed fails as a whole, with the reasons; the others go on.

    Args:
        manifest: Which slides belong to which case.
        recipe: What is made of slides and cases.
        cases: Those to encode; all by default.
        stages: Of ``recipe.cases``; all by default.
        force: Compute anew whatever is stored.
        on_patches: Called with stem, patches done and patches in all while patches are encoded.

    Yields:
        Outcomes. The stem of a case's outcome is its case_id, the step's kind ``patient_embedding``.

    Example:
        >>> from atlaspatch_core.pipeline.patients.manifest import read_manifest
        >>> *slides, case = encode_cases(read_manifest(Path("cases.csv")), recipe)
        >>> case.stem, str(case.step), str(case.status), case.numbers["dim"]
        ('patient 1', 'patient_embedding/mean-efficientnet_lite0', 'computed', 1280)
    """
    cases = manifest.cases if cases is None else cases
    stages = recipe.cases if stages is None else stages
    slides = CaseSlides()
    steps = slide_steps(recipe, stages)
    for outcome in process(manifest.sources(cases), recipe, steps=steps, force=force, on_patches=on_patches):
        slides.remember_outcome(outcome)
        yield outcome
    _remove_half_written(recipe, stages)
    models = Models(recipe.project.runtime)
    for case in cases:
        for stage in stages:
            yield Encoding(manifest, recipe, slides, models, case, stage).outcome(force=force)


def slide_steps(recipe: Recipe, stages: Sequence[OutputSpec]) -> list[OutputKey]:
    """Return the steps of a slide that these stages are computed from, upstream first."""
    features = {step for stage in stages for step in stage.upstream}
    for stage in reversed(recipe.stages):
        if stage.step in features:
            features.update(stage.upstream)
    return [stage.step for stage in recipe.stages if stage.step in features]


def _remove_half_written(recipe: Recipe, stages: Sequence[OutputSpec]) -> None:
    """Remove what killed processes left half-written."""
    for stage in stages:
        folder = case_path(recipe, stage, "any").parent
        with suppress(OSError, AtlasPatchError):
            remove_half_written(folder, [folder])


@dataclass(frozen=True, slots=True)
class Encoding:
    """One case on its way to one embedding."""

    manifest: Manifest
    recipe: Recipe
    slides: CaseSlides
    models: Models
    case: Case
    stage: OutputSpec

    def outcome(self, *, force: bool) -> Outcome:
        """Make sure of the embedding, and return what became of it. Raises UnusableOutput."""
        project, step = self.recipe.project, self.stage.step
        store = Store(project.output)
        action = partial(with_damage_marked, store, lambda: self._reuse_or_compute(force))
        return attempt_step(project, self.case.case_id, step, action)

    def _reuse_or_compute(self, force: bool) -> Outcome:
        since = perf_counter()
        if lacking := [stem for stem in self.case.stems if self._key(stem) not in self.slides.fingerprints]:
            raise MissingUpstream("; ".join(map(self._reason, lacking)))
        expected = self.stage.identity(self._inputs())
        try:
            stored, cause = self._stored(force), ""
        except DamagedOutput:
            stored, cause = None, DAMAGED_ON_DISK
        cause = case_reason(stored[0], expected, self._features) if stored else cause
        why = compute_reason(stored[0] if stored else None, expected, forced=force, cause=cause)
        if stored and not why:
            patches = sum(file.patches() for file in self._files())
            return self._outcome(Status.REUSED, expected, since, "", embedding_numbers(stored[1], patches))
        files = [file for file in self._files() if file.patches()]
        if not files:
            remove_case(self._path())
            return self._outcome(Status.SKIPPED, expected, since, NO_PATCHES, {"patches": 0})
        vector = self._encode(files)
        keep_case(self._path(), vector, expected, self._attributes())
        patches = sum(file.patches() for file in files)
        return self._outcome(Status.COMPUTED, expected, since, why, embedding_numbers(vector, patches))

    def _stored(self, force: bool) -> tuple[Identity, NDArray[np.float32]] | None:
        """Return what lies there; where it is forced, what cannot be read is replaced if it is ours."""
        try:
            return read_case(self._path())
        except UnreadableOutput as error:
            if force and not isinstance(error, OutputInUse | DamagedOutput):
                return None
            raise

    def _encode(self, files: Sequence[SlideFile]) -> NDArray[np.float32]:
        loaded = self.models.get(self.stage)
        forward = FOR_CASES[loaded.encoder.forward]
        return checked(loaded, loaded.run(forward, (file.read() for file in files)))

    def _attributes(self) -> dict[str, Any]:
        """Return AtlasPatch's attributes, and where the embedding comes from."""
        files = self._files()
        encoder = self.stage.encoder
        assert encoder is not None
        theirs = {
            schema.ENCODER_NAME: encoder.name,
            schema.NUM_SLIDES: len(files),
            schema.SOURCE_PATCH_ENCODER: self._features.encoder,
            schema.SOURCE_MANIFEST: str(self.manifest.path),
            schema.SOURCE_SLIDE_H5_PATHS: json.dumps([str(file.path.absolute()) for file in files]),
            schema.SOURCE_SLIDE_PATCH_SUMMARIES: json.dumps([file.summary() for file in files]),
        }
        return theirs | {schema.CASE_ID: self.case.case_id, schema.LICENSE: encoder.license} | provenance()

    @property
    def _features(self) -> OutputKey:
        return self.stage.upstream[-1]

    def _key(self, stem: str) -> tuple[str, OutputKey]:
        return stem, self._features

    def _inputs(self) -> dict[str, str]:
        """Return the fingerprints of the slides' features, in the order of the table."""
        prints = self.slides.fingerprints
        return inputs_of(self.case.stems, {stem: prints[self._key(stem)] for stem in self.case.stems})

    def _files(self) -> list[SlideFile]:
        store, step = Store(self.recipe.project.output), self._features
        prints = self.slides.fingerprints
        return [
            SlideFile(store.h5(stem, step.geometry), str(step.encoder), prints[self._key(stem)])
            for stem in self.case.stems
        ]

    def _path(self) -> Path:
        return case_path(self.recipe, self.stage, self.case.case_id)

    def _reason(self, stem: str) -> str:
        return self.slides.reasons.get(stem, f"{stem}: {self._features} was not made")

    def _outcome(
        self, status: Status, identity: Identity, since: float, why: str, numbers: dict[str, int | float]
    ) -> Outcome:
        return Outcome(
            self.case.case_id,
            self.stage.step,
            status,
            identity.fingerprint,
            self.stage.code_version,
            why=why,
            numbers={"slides": len(self.case.stems)} | numbers,
            recipe=identity.spec,
            inputs={str(self._features): short_hash(canonical_json(dict(identity.inputs)))},
            seconds=perf_counter() - since,
            path=self._path() if status is not Status.SKIPPED else None,
        )
