"""One slide on its way through the recipe."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import Any, Self, TypeVar

from shapely import Polygon

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import KilledReader, MachineFault, MissingUpstream, OutOfDate
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.attempts import attempt_step, with_damage_marked
from atlaspatch_core.pipeline.crashes import noted_crash
from atlaspatch_core.pipeline.forecast import Forecast
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.share_mailbox import ShareMailbox
from atlaspatch_core.pipeline.source_guard import SourceGuard
from atlaspatch_core.slides.isolated import IsolatedSlide
from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.storage.crash_notes import forget_crash
from atlaspatch_core.storage.hdf5 import StoredResult, read_array
from atlaspatch_core.storage.records import Record, StepNotes
from atlaspatch_core.storage.schema import COORDS, TISSUE_FRACTION
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.outlines import TissueOutlines, read_outlines
from atlaspatch_core.validity.identities import identity_of, sampling_of
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import EMPTY, OutputSpec, Recipe
from atlaspatch_core.validity.rules import changed_inputs, compute_reason, is_forced

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all slides of one call share."""

    recipe: Recipe
    store: Store
    models: Models
    selected: frozenset[OutputKey]
    force: bool
    on_patches: Callable[[str, int, int], None]
    """Called with stem, patches done and patches in all while patches are encoded."""
    trusted: frozenset[OutputKey] = frozenset()
    """Steps whose stored outputs are taken as they lie."""
    forecast: Forecast = field(default_factory=Forecast)
    mailbox: ShareMailbox | None = None
    """Where workers that share slides ask each other for patches; None for one that works alone."""
    specs: dict[OutputKey, tuple[dict[str, Any], str]] = field(default_factory=dict)
    """Spec and code version of stages, found out once for all slides, and again when a model was loaded."""

    def spec(self, stage: OutputSpec) -> tuple[dict[str, Any], str]:
        """Return what decides a stage on every slide, and its hash. Raises MissingWeights."""
        if stage.step not in self.specs:
            self.specs[stage.step] = stage.spec, stage.code_version
        return self.specs[stage.step]

    def model(self, stage: OutputSpec) -> Any:
        """Return the loaded encoder of a stage; weights that had to be fetched for it are known by their hash then."""
        if stage.step not in self.models:
            self.specs.pop(stage.step, None)
        return self.models.get(stage)


@dataclass(slots=True)
class SlideWork:
    """One slide: what is known of it so far, and the slide itself once pixels are needed. Closes what it opened."""

    source: SlideSource
    run: RunContext
    fingerprints: dict[OutputKey, str] = field(default_factory=dict)
    """Of the outputs that are valid now."""
    info: SlideInfo | None = None
    record: Record | None = None
    """What is kept of the slide, where looking at it changed nothing."""
    step_notes: dict[str, StepNotes] = field(default_factory=dict)
    """Output, as text, or its pictures, to what the record says that is odd about it."""
    grids: dict[str, PatchGrid] = field(default_factory=dict)
    """Geometry name to its grid, once it was needed."""
    coords: dict[str, Identity] = field(default_factory=dict)
    """Geometry name to the identity of its coords."""
    dropped: dict[tuple[str, str], Identity | None] = field(default_factory=dict)
    """Geometry name and dataset to what decided results that went with the coords they belonged to."""
    stored_results: dict[str, dict[str, StoredResult]] = field(default_factory=dict)
    """Geometry name to what its HDF5 file holds, read once the coords are valid."""
    stopped: dict[OutputKey, Outcome] = field(default_factory=dict)
    """Steps that failed or were skipped."""
    features: dict[OutputKey, Any] = field(default_factory=dict)
    """Features computed in this run, so that slide encoders need not read them back."""
    crash: KilledReader | None = None
    """What is to be said of the slide because it crashed its reader; noted on disk."""
    thumbnail: Any = None
    """The slide's, once it was drawn on, where the one that is stored is of others."""
    guard: SourceGuard = field(init=False)
    """What tells whether the slide's files are still those that were identified."""
    _polygons: tuple[Polygon, ...] | None = None
    _outlines: TissueOutlines | None = None
    _slide: Slide | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Guard the slide's files."""
        self.guard = SourceGuard(self.source, self.run.store)

    @property
    def stem(self) -> str:
        """Key of the slide."""
        return self.source.stem

    @property
    def store(self) -> Store:
        """Where outputs are kept, as long as the slide's files are those that were identified."""
        return replace(self.run.store, check_source=self.guard.check)

    def slide(self) -> Slide:
        """Return the slide, opened at first use."""
        if self._slide is None:
            self._slide = self._opened.enter_context(open_source(self.source, self.run.recipe.project.slides))
        return self._slide

    def polygons(self) -> tuple[Polygon, ...]:
        """Return the tissue polygons, level-0 px, read at first use."""
        if self._polygons is None:
            self._polygons = self.outlines().polygons
        return self._polygons

    def outlines(self) -> TissueOutlines:
        """Return the outlines that lie there, read at first use, and what of their file is no tissue."""
        if self._outlines is None:
            self.store.check_outlines(self.stem)
            path, origin = self.store.geojson(self.stem), self.run.recipe.project.slides.masks_origin
            self._outlines = read_outlines(path, frame=self.slide_info().outline_frame, origin=origin)
        return self._outlines

    def set_polygons(self, polygons: tuple[Polygon, ...]) -> None:
        """Take the polygons that a segmenter found."""
        self._polygons, self._outlines = polygons, None

    def slide_info(self) -> SlideInfo:
        """Return what the first step found out."""
        if self.info is None:
            raise MissingUpstream(f"{self.stem}: the slide was not looked at; run its first step too")
        return self.info

    def grid(self, geometry: Geometry) -> PatchGrid:
        """Return the patches of a geometry, read from the slide's file where this run did not lay them."""
        if geometry.name not in self.grids:
            path = self.store.h5(self.stem, geometry.name)
            corners, fraction = read_array(path, COORDS)[:, :2], read_array(path, TISSUE_FRACTION)
            self.grids[geometry.name] = PatchGrid(corners, fraction, sampling_of(self.coords[geometry.name]))
        return self.grids[geometry.name]

    def identity(self, stage: OutputSpec, facts: Mapping[str, Any] = EMPTY) -> Identity:
        """Return what a stage's output of this slide is to be: its fingerprints are free of the geometry's name."""
        return identity_of(stage, self.fingerprints, facts, self.run.spec(stage)[0])

    def reason(
        self, stage: OutputSpec, stored: Identity | StoredResult | None, expected: Identity, cause: str = ""
    ) -> str:
        """Return why a stage is to be computed, or an empty text when the stored output is valid.

        ``cause`` is told in place of what differs. Raises MissingUpstream when it is to be computed but was not asked
        for.
        """
        stored = stored or self.dropped.get((stage.step.geometry, stage.dataset))
        why = compute_reason(stored, expected, forced=self.forced(stage), cause=cause)
        if why and stage.step not in self.run.selected:
            raise MissingUpstream(f"{self.stem}: {stage.step} is not valid ({why}); run that step first")
        return why

    def verdict(self, stage: OutputSpec, stored: StoredResult | None) -> tuple[Identity, str]:
        """Return what an encoder's output is to be, and why it is to be computed, or an empty text when it is valid.

        What looks invalid is looked at again with the encoder loaded: weights from a hub are known by their hash then.
        """
        expected = self.identity(stage)
        if self.reason(stage, stored, expected):
            self.run.model(stage)
            expected = self.identity(stage)
        return expected, self.reason(stage, stored, expected)

    def forced(self, stage: OutputSpec) -> bool:
        """Tell whether a stage is to be computed whatever is stored."""
        run = self.run
        return is_forced(stage.step, force=run.force, selected=run.selected, trusted=run.trusted)

    def trusted(self, stage: OutputSpec) -> bool:
        """Tell whether what is stored of a stage is taken as it lies, whatever the recipe says of the stage."""
        return stage.step in self.run.trusted

    def check_inputs(self, stage: OutputSpec, stored: Identity) -> None:
        """Raise OutOfDate when what a trusted output was made from is not what lies there now."""
        if changed := changed_inputs(stage, stored, self.fingerprints):
            raise OutOfDate(
                f"{self.stem}: {changed[0]} changed after {stage.step} was made; run the step {stage.step.kind} again"
            )

    def notes_on(self, step: OutputKey, fingerprint: str) -> tuple[str, ...]:
        """Return what was odd about an output when it was made; nothing where another one was made then."""
        notes = self.step_notes.get(str(step))
        return notes.texts if notes and notes.fingerprint == fingerprint else ()

    def keep_notes(self, name: str, fingerprint: str, notes: Sequence[str]) -> None:
        """Remember what is odd about an output, or its pictures, so that ``status`` tells it; written where news."""
        before, now = self.step_notes.pop(name, None), StepNotes(fingerprint, tuple(notes))
        if notes:
            self.step_notes[name] = now
        if before != (now if notes else None):
            self.store.write_notes(self.stem, name, now)

    def outcome(
        self,
        stage: OutputSpec,
        status: Status,
        fingerprint: str | None,
        since: float,
        notes: Sequence[str] = (),
        **more: Any,
    ) -> Outcome:
        """Return the outcome of a stage; its fingerprint is remembered for stages downstream, its notes are kept."""
        if fingerprint:
            self.fingerprints[stage.step] = fingerprint
            self.keep_notes(str(stage.step), fingerprint, notes)
        recipe, code_version = self.run.spec(stage) if fingerprint else ({}, None)
        inputs = {str(step): self.fingerprints[step] for step in stage.upstream if step in self.fingerprints}
        seconds = perf_counter() - since
        details = {"inputs": inputs, "recipe": recipe, "seconds": seconds, "notes": tuple(notes)}
        return Outcome(self.stem, stage.step, status, fingerprint, code_version, **details | more)

    def attempt(self, step: OutputKey, action: Callable[[], Result]) -> Result | Outcome:
        """Return what the action returns, or the failed outcome of the step. Raises MachineFault."""
        noting = partial(self._noting_causes, action)
        return attempt_step(self.run.recipe.project, self.stem, step, noting, self.source.path)

    def _noting_causes(self, action: Callable[[], Result]) -> Result:
        """Return what the action returns.

        Whatever goes wrong with a slide that was replaced went wrong for that: ReplacedSlide is raised in its place. A
        crash is raised with its number and a cure, after noting it once. What turns out to be damaged on disk is
        marked, so that the next run computes it anew.
        """
        try:
            return with_damage_marked(self.store, action)
        except MachineFault:
            raise
        except Exception as error:  # whatever a step raised may come of a slide that was replaced, or crashed
            if replacement := self.guard.replacement(error):
                raise replacement from error
            if isinstance(error, KilledReader):
                self.note_crash(error)
                raise self.crash or error from error
            raise

    def note_crash(self, crash: KilledReader) -> None:
        """Note in the output folder that the slide crashed; the first time counts."""
        if self.crash is None:
            reader = self.info.reader if self.info else self.run.recipe.project.slides.reader
            self.crash = noted_crash(self.source, self.store, crash, reader or "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()
        if self._slide is None or self.guard.is_replaced:
            return
        if isinstance(self._slide, IsolatedSlide) and self._slide.crash:
            self.note_crash(self._slide.crash)
        elif self.crash is None:
            forget_crash(self.store, self.stem)
