"""The state of every output of a project, with what its runs remember of failures."""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.discovery.sources import Discovery, SlideSource, open_source
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.operations.tracking.folder import SlideState, read_states
from atlaspatch_core.operations.tracking.runs import RunFile, live_and_latest
from atlaspatch_core.operations.tracking.unverified import UnverifiedResult, unverified_results
from atlaspatch_core.pipeline.steps.slide import identify_source, mark_of
from atlaspatch_core.slides.readers import needs_plugin_file
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.storage.records import SlideRecord
from atlaspatch_core.storage.slide_index import SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, Recipe
from atlaspatch_core.validity.rules import is_of_upstream
from atlaspatch_core.validity.states import State, Validity, validities
from atlaspatch_core.validity.stored import Stored, stored_in_files
from atlaspatch_core.validity.warnings import stored_warnings

MOST_OPENED = 1000
"""Slides that are opened to tell whether they are other ones: a whole cohort that moved is left to a run."""
Failures = Mapping[OutputKey, Mapping[str, str]]
"""Step to stem to the reason why the last attempt failed."""


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """A project and its output folder, held against each other."""

    recipe: Recipe
    outputs: tuple[Validity, ...]
    """By slide, upstream first."""
    runs: tuple[RunFile, ...]
    """Those that live, and the last one."""
    cases: tuple[Validity, ...] = ()
    """Embeddings of cases, in the order of their table; the ``stem`` of each is the case_id."""
    warnings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Stem to what is odd about a slide, for those that have something."""
    left_out: tuple[str, ...] = ()
    """Why files are no slides of it, each in one sentence."""
    unverified: tuple[UnverifiedResult, ...] = ()
    """What was adopted without proof and is no output of the project, by slide."""

    def of(self, stems: Collection[str], case_ids: Collection[str]) -> Self:
        """Return the state of these slides and cases alone; the runs stay."""
        return replace(
            self,
            outputs=tuple(output for output in self.outputs if output.stem in stems),
            cases=tuple(case for case in self.cases if case.stem in case_ids),
            warnings={stem: texts for stem, texts in self.warnings.items() if stem in stems},
            unverified=tuple(result for result in self.unverified if result.stem in stems),
        )


def project_status(
    recipe: Recipe,
    discovery: Discovery,
    failures: Failures | None = None,
    *,
    recorded: bool = False,
    index: SlideIndex | None = None,
) -> ProjectStatus:
    """Return the state of the outputs of the slides that were found, as a run would find it. Nothing is computed.

    Of the slides that changed, or are asked for in another way, the first ``MOST_OPENED`` are opened; of others their
    records tell.

    Args:
        recipe: The project's.
        discovery: Its slides, as ``find_slides`` returns them.
        failures: Output to stem to why the last attempt failed, where that is known from elsewhere.
        recorded: Tell also of slides that have results and were not found.
        index: The index of slides, where it was read already.

    Returns:
        One validity an output, by slide, upstream first; and the runs that live, and the last one.

    Example:
        >>> status = project_status(recipe, find_slides(recipe.project))
        >>> {str(output.state) for output in status.outputs}
        {'fresh'}
    """
    store = Store(recipe.project.output)
    index = index or read_slide_index(store, recipe.project.slides.masks_origin)
    files = stored_in_files(recipe, index)
    clashes = {clash.stem: str(clash.error) for clash in discovery.clashes}
    failed = {step: {**files.failed.get(step, {}), **(failures or {}).get(step, {})} for step in _steps(recipe)}
    failed[SLIDE] |= clashes
    stated = {source.stem: source.mpp for source in discovery.sources}
    series: dict[str, SeriesChoice] = {source.stem: source.series for source in discovery.sources}
    stems = {*stated, *clashes, *((index.slides.keys() | index.broken.keys()) if recorded else ())}
    stored = Stored(files.fingerprints, failed, files.without_patches)
    states = read_states(store)
    if recorded:
        stems |= states.keys()
    identify_slide = SlideIdentifier(recipe, store, discovery.by_stem)
    judgements = validities(
        recipe,
        sorted(stems),
        stored,
        stated=stated,
        series=series,
        slide_index=index,
        identify_slide=identify_slide,
        most_read=None,
    )
    outputs = tuple(_with_failure(output, states.get(output.stem)) for output in judgements)
    warnings = stored_warnings(index, stems, recipe.project.quality, files)
    left_out = tuple(omission.why for omission in discovery.left_out)
    runs, unverified = tuple(live_and_latest(store.output)), unverified_results(recipe, stems)
    return ProjectStatus(recipe, outputs, runs, warnings=warnings, left_out=left_out, unverified=unverified)


@dataclass(slots=True)
class SlideIdentifier:
    """Finds out who slides are now, opening those of which something changed."""

    recipe: Recipe
    store: Store
    sources: Mapping[str, SlideSource]
    opened_count: int = 0

    def __call__(self, stem: str, mark: str) -> SlideRecord | None:
        """Return the record that a run would make; None where the one of this ``mark`` holds, or the slide is gone.

        Raises what opening a slide raises, UnreadableSlide for one that changed and is read by a plugin, where none may
        be executed.
        """
        source = self.sources.get(stem)
        may_be_of_plugin = bool(self.recipe.project.plugins) and not executes_plugins()
        if source is not None and may_be_of_plugin and self._is_of_plugin(source):
            self._check_unchanged(source)
            return None
        if source is None or self.opened_count >= MOST_OPENED or mark_of(source, self.recipe) == mark:
            return None
        self.opened_count += 1
        with ExitStack() as stack:
            return identify_source(
                source,
                self.recipe,
                self.store.read_record(stem).slide,
                lambda: stack.enter_context(open_source(source, self.recipe.project.slides)),
            )

    def _is_of_plugin(self, source: SlideSource) -> bool:
        """Tell whether the reader of a plugin file opened a slide, or has to."""
        record = self.store.read_record(source.stem).slide
        return record.info.plugin is not None if record else needs_plugin_file(source.path)

    def _check_unchanged(self, source: SlideSource) -> None:
        record = self.store.read_record(source.stem).slide
        if record and record.mark != mark_of(source, self.recipe):
            raise UnreadableSlide(
                f"{source.stem}: {source.path.name} changed, and its reader is of a plugin, which is not executed "
                "here; a run tells what it is now"
            )


def _steps(recipe: Recipe) -> list[OutputKey]:
    return [stage.step for stage in (*recipe.stages, *recipe.cases)]


def _with_failure(output: Validity, state: SlideState | None) -> Validity:
    """Return an output that is not there, or not as it should be, as failed where the last attempt to make it did."""
    if state is None or output.state not in (State.MISSING, State.STALE) or (output.why and is_of_upstream(output.why)):
        return output
    why = state.errors.get(str(output.step))
    return replace(output, state=State.FAILED, why=why) if why else output
