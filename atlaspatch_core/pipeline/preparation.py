"""One slide through its steps up to the pixels of its patches: what can be said at once, and what is to be encoded."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.pipeline.pictures import write_grid_pictures, write_mask_pictures
from atlaspatch_core.pipeline.shared_reading import patches_of
from atlaspatch_core.pipeline.shares import Flush
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.coords import place_patches
from atlaspatch_core.pipeline.steps.embedding import embed_slide
from atlaspatch_core.pipeline.steps.features import FeatureBatch, JobEnd, SharedFeatures, plan_features, read_job
from atlaspatch_core.pipeline.steps.slide import identify_slide
from atlaspatch_core.pipeline.steps.tissue_mask import ensure_tissue_mask
from atlaspatch_core.storage.records import PICTURES
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, OutputSpec

Item = Outcome | FeatureBatch | SharedFeatures | JobEnd | Flush


def prepare_slide(work: SlideWork) -> Generator[Item]:
    """Yield the outcomes of a slide that need no encoding, and the patches of those that do."""
    recipe = work.run.recipe
    _load_ahead(work)
    yield _take_step(work, recipe.stage(SLIDE), identify_slide)
    mask = recipe.stage(TISSUE_MASK)
    yield _with_pictures(work, mask, _take_step(work, mask, ensure_tissue_mask), lambda: write_mask_pictures(work))
    for geometry in recipe.project.geometry:
        yield from _of_geometry(work, geometry)


def identify_stored(work: SlideWork, geometry: Geometry) -> Outcome:
    """Take a slide's steps up to the coords of a geometry, and return the last outcome or the first that failed."""
    recipe = work.run.recipe
    (coords,) = recipe.stages_of("patch_coords", geometry)
    _take_step(work, recipe.stage(SLIDE), identify_slide)
    _take_step(work, recipe.stage(TISSUE_MASK), ensure_tissue_mask)
    return next(iter(work.stopped.values()), None) or _take_step(work, coords, place_patches)


def embeddings(work: SlideWork, geometry: Geometry) -> Iterator[Outcome]:
    """Yield what became of the slide embeddings of a geometry, once its features are there."""
    for stage in work.run.recipe.stages_of("slide_embedding", geometry):
        if stage.step in work.run.selected:
            yield _take_step(work, stage, embed_slide)


def remember_stop(work: SlideWork, outcome: Outcome) -> Outcome:
    """Remember that a step was stopped, for the steps downstream, and return the outcome."""
    if outcome.status in (Status.FAILED, Status.SKIPPED):
        work.stopped[outcome.step] = outcome
    return outcome


def _load_ahead(work: SlideWork) -> None:
    """Have the encoders loaded while tissue is found, which takes as long, where the slide is a new one."""
    recipe, store = work.run.recipe, work.run.store
    new = [geometry for geometry in recipe.project.geometry if not store.h5(work.stem, geometry.name).exists()]
    stages = [stage for geometry in new for stage in recipe.stages_of("patch_features", geometry)]
    if stages := [stage for stage in stages if _needed(work, stage)]:
        work.run.models.load_ahead(stages)


def _of_geometry(work: SlideWork, geometry: Geometry) -> Iterator[Item]:
    for stage in work.run.recipe.stages_of("patch_coords", geometry):
        coords = _take_step(work, stage, place_patches)
        yield _with_pictures(work, stage, coords, lambda: write_grid_pictures(work, geometry))
    ready: list[OutputSpec] = []
    for stage in work.run.recipe.stages_of("patch_features", geometry):
        if blocked := _blocked(work, stage):
            yield blocked
        elif _needed(work, stage):
            ready.append(stage)
    outcomes, job = plan_features(work, ready)
    yield from (remember_stop(work, outcome) for outcome in outcomes)
    yield from read_job(job, patches_of(job)) if job else embeddings(work, geometry)


def _needed(work: SlideWork, stage: OutputSpec) -> bool:
    """Tell whether features are asked for, or what an asked-for embedding is computed from."""
    selected = (other for other in work.run.recipe.stages if other.step in work.run.selected)
    return stage.step in work.run.selected or any(stage.step in other.upstream for other in selected)


def _take_step(work: SlideWork, stage: OutputSpec, action: Callable[[SlideWork, OutputSpec], Outcome]) -> Outcome:
    return _blocked(work, stage) or remember_stop(work, work.attempt(stage.step, lambda: action(work, stage)))


def _blocked(work: SlideWork, stage: OutputSpec) -> Outcome | None:
    """Return why a stage cannot be taken: one before it failed, or could not be taken itself.

    Where nothing that was asked for has told so yet, this stage fails with the reason of the one before it.
    """
    culprit = next((work.stopped[step] for step in stage.upstream if step in work.stopped), None)
    if culprit is None:
        return None
    is_reported = any(step in work.run.selected for step in work.stopped)
    status = Status.SKIPPED if is_reported else Status.FAILED
    why = f"{culprit.step} {culprit.status}" if is_reported else culprit.why
    return remember_stop(
        work, Outcome(work.stem, stage.step, status, why=why, transient=not is_reported and culprit.transient)
    )


def _with_pictures(work: SlideWork, stage: OutputSpec, outcome: Outcome, write: Callable[[], None]) -> Outcome:
    """Return the outcome of an output whose pictures are written now; that they cannot be is a note, no failure."""
    if outcome.fingerprint is None:
        return outcome
    failure = work.attempt(stage.step, write)
    why = failure.why.removeprefix(f"{work.stem}: ") if failure else ""
    notes = (f"pictures were not written: {why}",) if failure else ()
    work.keep_notes(f"{stage.step}{PICTURES}", outcome.fingerprint, notes)
    return replace(outcome, notes=(*outcome.notes, *notes))
