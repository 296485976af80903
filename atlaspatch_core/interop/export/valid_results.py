"""Which results of a slide are exported, and why others are not."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from atlaspatch_core.errors import NoSlides
from atlaspatch_core.interop.export.selection import COORDS_KIND, Choice, with_stored_names
from atlaspatch_core.interop.export.values import ExportResult, GeometryResults, SlideResults
from atlaspatch_core.storage.hdf5 import StoredResult, read_attributes
from atlaspatch_core.storage.schema import COORDS, PLACES, UNVERIFIED
from atlaspatch_core.storage.slide_index import SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import TISSUE_MASK, Recipe
from atlaspatch_core.validity.rules import State, has_all_rows
from atlaspatch_core.validity.states import validities
from atlaspatch_core.validity.stored import stored_in_files


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a result may be exported."""

    state: str
    """``fresh``, or what else it is."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The slides that are exported, and the verdicts on their results."""

    store: Store
    index: SlideIndex
    verdicts: Mapping[str, Mapping[OutputKey, Verdict]]
    """Stem to step to verdict, upstream first."""
    choice: Choice = field(default_factory=Choice)

    @property
    def stems(self) -> Sequence[str]:
        """Slides, in order of their stems."""
        return sorted(self.verdicts)

    @property
    def steps(self) -> set[OutputKey]:
        """Steps that are asked for, of any slide."""
        return {step for of_slide in self.verdicts.values() for step in of_slide if self.choice.takes(step)}

    def results(self, stem: str) -> SlideResults:
        """Return what of a slide is exported. Raises UnreadableOutput for a file that cannot be read."""
        if stem not in self.index.slides and not any(
            self.store.h5(stem, step.geometry).exists() for step in self.steps
        ):
            raise NoSlides(
                f"{stem}: nothing was made of such a slide in {self.store.output}; a stem is a file name without suffix"
            )
        verdicts = {step: verdict for step, verdict in self.verdicts[stem].items() if self.choice.takes(step)}
        return _Collection(self, stem, verdicts).results()


@dataclass(slots=True)
class _Collection:
    """The results of one slide as they are found."""

    selection: Selection
    stem: str
    verdicts: Mapping[OutputKey, Verdict]
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def results(self) -> SlideResults:
        store, stem = self.selection.store, self.stem
        mask = self._mask()
        geometries = [self._geometry(step.geometry) for step in self._of(COORDS_KIND)]
        info, slide = self.selection.store.read_record(stem).slide, self.selection.index.slides.get(stem)
        return SlideResults(
            stem,
            store,
            info.info if info else None,
            slide.fingerprint if slide else "",
            mask,
            tuple(filter(None, geometries)),
            tuple(self.refused),
            tuple(self.missing),
            self.selection.index.origin,
        )

    def _of(self, kind: str, geometry: str | None = None) -> list[OutputKey]:
        return [step for step in self.verdicts if step.kind == kind and geometry in (None, step.geometry)]

    def _mask(self) -> ExportResult | None:
        polygons = self.selection.index.polygons.get(self.stem)
        path = self.selection.store.geojson(self.stem)
        return next((self._passed(step, path, "", polygons) for step in self._of(TISSUE_MASK.kind)), None)

    def _geometry(self, name: str) -> GeometryResults | None:
        results = self.selection.store.stored_results(self.stem, name)
        (step,) = self._of(COORDS_KIND, name)
        coords = self._stored(step, results)
        if coords is None:
            return None
        rows = results[COORDS].shape[0]
        features = [self._whole(step, results, rows) for step in self._of("patch_features", name)]
        embeddings = [self._stored(step, results) for step in self._of("slide_embedding", name) if rows]
        collected = tuple(filter(None, features)), tuple(filter(None, embeddings))
        return GeometryResults(name, coords, read_attributes(coords.path), *collected)

    def _whole(self, step: OutputKey, results: Mapping[str, StoredResult], rows: int) -> ExportResult | None:
        """Return features that may be exported: whatever their state, they have a row per patch."""
        result = self._stored(step, results)
        rows_stored = results[result.dataset].shape[0] if result else rows
        if has_all_rows(step, rows_stored, rows):
            return result
        self.refused.append(f"{step} has {rows_stored} rows for {rows} patches")
        return None

    def _stored(self, step: OutputKey, results: Mapping[str, StoredResult]) -> ExportResult | None:
        dataset = "/".join(filter(None, (PLACES[step.kind], step.encoder)))
        path = self.selection.store.h5(self.stem, step.geometry)
        return self._passed(step, path, dataset, results[dataset].fingerprint if dataset in results else None)

    def _passed(self, step: OutputKey, path: Any, dataset: str, fingerprint: str | None) -> ExportResult | None:
        """Return a result that may be exported; remember why another may not."""
        verdict = self.verdicts[step]
        fresh = verdict.state == State.FRESH
        reason = f" ({verdict.why})" if verdict.why else ""
        if fingerprint is None:
            self.missing.append(f"{step}{reason}")
        elif fresh or self.selection.choice.include_stale:
            return ExportResult(path, dataset, fingerprint, step.encoder or "")
        else:
            state = UNVERIFIED if verdict.state == State.MISSING else verdict.state
            self.refused.append(f"{step} is {state}{reason}")
        return None


def select(recipe: Recipe, choice: Choice, stems: Collection[str] | None = None) -> Selection:
    """Return what a project has to export: of the slides that it ever looked at, or of these.

    No slide is opened. Raises UnknownName for an encoder or a geometry that the project has not.
    """
    choice = with_stored_names(choice, [stage.step for stage in recipe.stages])
    store = Store(recipe.project.output)
    index = read_slide_index(store, recipe.project.slides.masks_origin)
    stored = stored_in_files(recipe, index)
    stored_stems = {stem for of_step in stored.fingerprints.values() for stem in of_step}
    outputs = validities(
        recipe, sorted(stored_stems | {*index.broken} if stems is None else stems), stored, slide_index=index
    )
    of_slides = groupby(outputs, lambda validity: validity.stem)
    verdicts = {
        stem: {output.step: Verdict(output.state, output.why) for output in of_slide} for stem, of_slide in of_slides
    }
    return Selection(store, index, verdicts, choice)
