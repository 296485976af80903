"""Which results of a slide are exported, and why others are not."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from atlaspatch_core.errors import NoSlides, UnknownName
from atlaspatch_core.export.values import ALL_KINDS, GeometryResults, Result, SlideResults
from atlaspatch_core.hdf5 import COORDS, FEATURES, SLIDE_FEATURES, Kept, read_attributes
from atlaspatch_core.known import Known, read_known
from atlaspatch_core.outcome import Step
from atlaspatch_core.recipe import TISSUE_MASK, Recipe
from atlaspatch_core.store import Store
from atlaspatch_core.validity import State, stored_in_files, validities

COORDS_KIND = "patch_coords"
FOLDERS = {COORDS_KIND: COORDS, "patch_features": FEATURES, "slide_embedding": SLIDE_FEATURES}
"""Kind of a step to where its result lies in the HDF5 file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a result may be exported."""

    state: str
    """``fresh``, or what else it is."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What of every slide is asked for."""

    encoders: frozenset[str] | None = None
    """Patch and slide encoders; None: all."""
    geometries: frozenset[str] | None = None
    """Names of geometries; None: all."""
    include_stale: bool = False
    """Export what is not valid, too."""
    kinds: frozenset[str] = ALL_KINDS
    """Kinds of steps, beside coords, that the layout holds."""

    def takes(self, step: Step) -> bool:
        """Tell whether a step is asked for; masks, and coords of a geometry that is, go without saying."""
        if step.kind != COORDS_KIND and step.kind not in self.kinds:
            return False
        if step == TISSUE_MASK:
            return True
        of_geometry = self.geometries is None or step.geometry in self.geometries
        return of_geometry and (step.encoder is None or self.encoders is None or step.encoder in self.encoders)


@dataclass(frozen=True, slots=True)
class Selection:
    """The slides that are exported, and the verdicts on their results."""

    store: Store
    known: Known
    verdicts: Mapping[str, Mapping[Step, Verdict]]
    """Stem to step to verdict, upstream first."""
    choice: Choice = field(default_factory=Choice)

    @property
    def stems(self) -> Sequence[str]:
        """Slides, in order of their stems."""
        return sorted(self.verdicts)

    @property
    def steps(self) -> set[Step]:
        """Steps that are asked for, of any slide."""
        return {step for of_slide in self.verdicts.values() for step in of_slide if self.choice.takes(step)}

    def results(self, stem: str) -> SlideResults:
        """Return what of a slide is exported. Raises UnreadableOutput for a file that cannot be read."""
        if stem not in self.known.slides and not any(self.store.h5(stem, it.geometry).exists() for it in self.steps):
            raise NoSlides(
                f"{stem}: nothing was made of such a slide in {self.store.output}; a stem is a file name without suffix"
            )
        wanted = {step: verdict for step, verdict in self.verdicts[stem].items() if self.choice.takes(step)}
        return _Collection(self, stem, wanted).results()


@dataclass(slots=True)
class _Collection:
    """The results of one slide as they are found."""

    selection: Selection
    stem: str
    verdicts: Mapping[Step, Verdict]
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def results(self) -> SlideResults:
        store, stem = self.selection.store, self.stem
        mask = self._mask()
        geometries = [self._geometry(step.geometry) for step in self._of(COORDS_KIND)]
        info, slide = self.selection.store.read_record(stem).slide, self.selection.known.slides.get(stem)
        return SlideResults(
            stem,
            store,
            info.info if info else None,
            slide.fingerprint if slide else "",
            mask,
            tuple(filter(None, geometries)),
            tuple(self.refused),
            tuple(self.missing),
        )

    def _of(self, kind: str, geometry: str | None = None) -> list[Step]:
        return [step for step in self.verdicts if step.kind == kind and geometry in (None, step.geometry)]

    def _mask(self) -> Result | None:
        polygons = self.selection.known.polygons.get(self.stem)
        path = self.selection.store.geojson(self.stem)
        return next((self._passed(step, path, "", polygons) for step in self._of(TISSUE_MASK.kind)), None)

    def _geometry(self, name: str) -> GeometryResults | None:
        kept = self.selection.store.kept(self.stem, name)
        (step,) = self._of(COORDS_KIND, name)
        coords = self._kept(step, kept)
        if coords is None:
            return None
        rows = kept[COORDS].shape[0]
        features = [self._whole(step, kept, rows) for step in self._of("patch_features", name)]
        embeddings = [self._kept(step, kept) for step in self._of("slide_embedding", name) if rows]
        found = tuple(filter(None, features)), tuple(filter(None, embeddings))
        return GeometryResults(name, coords, read_attributes(coords.path), *found)

    def _whole(self, step: Step, kept: Mapping[str, Kept], rows: int) -> Result | None:
        """Return features that may be exported: whatever their state, they have a row per patch."""
        result = self._kept(step, kept)
        found = kept[result.dataset].shape[0] if result else rows
        if found == rows:
            return result
        self.refused.append(f"{step} has {found} rows for {rows} patches")
        return None

    def _kept(self, step: Step, kept: Mapping[str, Kept]) -> Result | None:
        dataset = "/".join(filter(None, (FOLDERS[step.kind], step.encoder)))
        path = self.selection.store.h5(self.stem, step.geometry)
        return self._passed(step, path, dataset, kept[dataset].fingerprint if dataset in kept else None)

    def _passed(self, step: Step, path: Any, dataset: str, fingerprint: str | None) -> Result | None:
        """Return a result that may be exported; remember why another may not."""
        verdict = self.verdicts[step]
        fresh = verdict.state == State.FRESH
        reason = f" ({verdict.why})" if verdict.why else ""
        if fingerprint is None:
            self.missing.append(f"{step}{reason}")
        elif fresh or self.selection.choice.include_stale:
            return Result(path, dataset, fingerprint, step.encoder or "")
        else:
            state = "unverified" if verdict.state == State.MISSING else verdict.state
            self.refused.append(f"{step} is {state}{reason}")
        return None


def select(recipe: Recipe, choice: Choice, stems: Collection[str] | None = None) -> Selection:
    """Return what a project has to export: of the slides that it ever looked at, or of these.

    No slide is opened. Raises UnknownName for an encoder or a geometry that the project has not.
    """
    _check(choice, recipe)
    store = Store(recipe.project.output)
    known = read_known(store)
    chosen = sorted({*known.slides, *known.broken} if stems is None else stems)
    found = validities(recipe, chosen, stored_in_files(recipe, known), known=known)
    of_slides = groupby(found, lambda validity: validity.stem)
    verdicts = {stem: {it.step: Verdict(it.state, it.why) for it in of_slide} for stem, of_slide in of_slides}
    return Selection(store, known, verdicts, choice)


def _check(choice: Choice, recipe: Recipe) -> None:
    steps = [stage.step for stage in recipe.stages]
    known_names(choice.encoders or (), {step.encoder for step in steps if step.encoder}, "encoder")
    known_names(choice.geometries or (), {geometry.name for geometry in recipe.project.geometry}, "geometry")


def known_names(asked: Collection[str], known: Collection[str], kind: str) -> None:
    """Raise UnknownName for names that are not known."""
    if unknown := sorted(set(asked) - set(known)):
        among = ", ".join(sorted(filter(None, known))) or "none"
        raise UnknownName(f"there is no {kind} {', '.join(unknown)} to export; there is {among}")
