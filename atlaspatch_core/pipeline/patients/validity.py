"""Which embeddings of cases are fresh, stale, missing or failed, and why; no slide is opened."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, upstream_reason
from atlaspatch_core.pipeline.patients.files import case_path, case_reason, inputs_of, read_case
from atlaspatch_core.pipeline.patients.manifest import Case, Manifest
from atlaspatch_core.storage.file_index import FileIndex, list_files
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.expected import Expectations
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.rules import State, is_valid, same_making, state_of
from atlaspatch_core.validity.states import MOST_READ, Validity
from atlaspatch_core.validity.stored import Stored, stored_in_files

VERSION = 1


@dataclass(frozen=True, slots=True)
class CaseState:
    """The state of one embedding of a case, and what it is to be."""

    validity: Validity
    """Its ``stem`` is the case_id."""
    fingerprint: str | None = None
    """What it is to have; None while that cannot be known."""
    waits: bool = False
    """Whether features of its slides are not there, or not as they are to be."""


@dataclass(slots=True)
class CaseStalenessChecker:
    """Compares what is stored of cases with what is expected."""

    recipe: Recipe
    manifest: Manifest
    stored: Stored
    """Step to case_id to fingerprint, and to the reason why the last attempt failed."""
    slides: Mapping[tuple[str, OutputKey], Validity]
    """States of the outputs of slides, of those slides whose states are known."""
    empty: Mapping[str, Container[str]] = field(default_factory=dict)
    """Geometry to slides that have no patches; a case of such slides alone has no embedding to make."""
    _features: dict[tuple[str, OutputKey], str | None] = field(default_factory=dict)
    _read: dict[OutputKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Work out the features that slides are to have."""
        steps = {step for stage in self.recipe.cases for step in stage.upstream}
        store, stated = (
            Store(self.recipe.project.output),
            {source.stem: source.mpp for source in self.manifest.slides.values()},
        )
        expectations = Expectations(self.recipe, store, stated, steps)
        slide_index = read_slide_index(store, self.recipe.project.slides.masks_origin)
        for stem in self.manifest.slides:
            if stem in slide_index.slides:
                outputs = expectations.expected_outputs(stem, slide_index.slides[stem], slide_index.polygons.get(stem))
                self._features |= {(stem, step): outputs[step].fingerprint for step in steps}

    def states(self) -> Iterator[CaseState]:
        """Yield the state of every embedding of every case of the table, case by case."""
        for case in self.manifest.cases:
            for stage in self.recipe.cases:
                yield self._state(case, stage)

    def _state(self, case: Case, stage: OutputSpec) -> CaseState:
        features, step = stage.upstream[-1], stage.step
        prints = {stem: self._features.get((stem, features)) or "" for stem in case.stems}
        waits = any(output.state is not State.FRESH for stem in case.stems for output in self._upstream(stem, features))
        try:
            expected = stage.identity(inputs_of(case.stems, prints))
        except AtlasPatchError as error:  # weights that are not there
            return CaseState(Validity(case.case_id, step, State.FAILED, str(error)), None, waits)
        state, why = self._verdict(case, stage, expected)
        return CaseState(
            Validity(case.case_id, step, state, why), expected.fingerprint if all(prints.values()) else None, waits
        )

    def _verdict(self, case: Case, stage: OutputSpec, expected: Identity) -> tuple[State, str]:
        """Return the state of an embedding; ``expected`` has no fingerprint of features that cannot be known."""
        stored = self._fingerprint(case, stage, expected)
        features = stage.upstream[-1]
        upstream = [output for stem in case.stems for output in self._upstream(stem, features)]
        failed = "; ".join(output.why for output in upstream if output.state is State.FAILED)
        changed = next((f"{features} of {output.stem}" for output in upstream if output.state is not State.FRESH), "")
        return state_of(
            stored,
            expected.fingerprint,
            failure=self.stored.failed.get(stage.step, {}).get(case.case_id) or failed,
            upstream=upstream_reason(changed),
            difference=lambda: self._why(case, stage, str(stored), expected, upstream_reason(changed)),
        )

    def _upstream(self, stem: str, features: OutputKey) -> Iterator[Validity]:
        """Yield the states of a slide's features and of all that they come from, as far as they are known."""
        steps = (stage.step for stage in self.recipe.with_upstream([features]))
        yield from (self.slides[stem, step] for step in steps if (stem, step) in self.slides)

    def _fingerprint(self, case: Case, stage: OutputSpec, expected: Identity) -> str | None:
        empty = self.empty.get(stage.step.geometry, ())
        if all(stem in empty for stem in case.stems):
            return expected.fingerprint
        return self.stored.fingerprints.get(stage.step, {}).get(case.case_id)

    def _why(self, case: Case, stage: OutputSpec, stored: str, expected: Identity, upstream: str) -> str:
        """Return which field differs, of the first ones by their files; else what is known."""
        fingerprints = upstream or f"fingerprint {stored} → {expected.fingerprint}"
        self._read[stage.step] = self._read.get(stage.step, 0) + 1
        if self._read[stage.step] > MOST_READ:
            return fingerprints
        identity = stored_identity(self.recipe, stage, case.case_id)
        valid = identity and is_valid(identity.fingerprint, stored)
        return case_reason(identity, expected, stage.upstream[-1]) if identity and valid else fingerprints


def case_states_in_files(
    recipe: Recipe,
    manifest: Manifest,
    outputs: Iterable[Validity],
    failures: Mapping[OutputKey, Mapping[str, str]] | None = None,
) -> Iterator[CaseState]:
    """Yield the state of every embedding of every case of a table, as it lies in the output folder.

    ``outputs`` are the states of the outputs of slides; ``failures``, step to case_id to why the last attempt failed.
    """
    stored = replace(cases_in_files(recipe), failed=failures or {})
    slides = {(output.stem, output.step): output for output in outputs}
    empty = stored_in_files(recipe).without_patches
    yield from CaseStalenessChecker(recipe, manifest, stored, slides, empty).states()


def stored_identity(recipe: Recipe, stage: OutputSpec, case_id: str) -> Identity | None:
    """Return what decided the embedding that lies there; None where there is none that can be read."""
    try:
        case = read_case(case_path(recipe, stage, case_id))
    except AtlasPatchError:
        return None
    return case[0] if case else None


def changed_itself(recipe: Recipe, stage: OutputSpec, case_id: str) -> bool:
    """Tell whether a stored embedding was made by another patient encoder, rather than from other slides."""
    stored = stored_identity(recipe, stage, case_id)
    return stored is not None and not same_making(stored, stage.identity({}))


def cases_in_files(recipe: Recipe) -> Stored:
    """Return what lies in the output folder. Files that lie untouched since they were read are not read again."""
    return Stored({stage.step: _of_stage(recipe, stage) for stage in recipe.cases})


def _of_stage(recipe: Recipe, stage: OutputSpec) -> dict[str, str]:
    name = str(stage.step).replace("/", "_")
    index = FileIndex(Store(recipe.project.output).index(name), _fingerprint_in, VERSION)
    files = list_files(case_path(recipe, stage, "any").parent, ".h5")
    fingerprints = index.read_values(files, lambda case_id: case_path(recipe, stage, case_id))
    return {case_id: fingerprint for case_id, fingerprint in fingerprints.items() if fingerprint}


def _fingerprint_in(path: Path) -> Any:
    try:
        case = read_case(path)
    except AtlasPatchError:
        return None
    return case[0].fingerprint if case else None
