"""Slides in, outcomes out: what the command line and the assets both call."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator

from atlaspatch_core.discovery import Discovery, SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.models import Models
from atlaspatch_core.outcome import Outcome, Status, Step
from atlaspatch_core.pictures import write_pictures
from atlaspatch_core.project import Geometry
from atlaspatch_core.recipe import SLIDE, TISSUE_MASK, Recipe, Stage
from atlaspatch_core.steps.coords import lay
from atlaspatch_core.steps.embed import embed
from atlaspatch_core.steps.features import encode
from atlaspatch_core.steps.look import look
from atlaspatch_core.steps.mask import segment
from atlaspatch_core.steps.work import Run, SlideWork, attempt
from atlaspatch_core.store import Store

log = logging.getLogger(__name__)


def process(
    sources: Iterable[SlideSource],
    recipe: Recipe,
    *,
    steps: Collection[Step] | None = None,
    force: bool = False,
    on_patches: Callable[[str, int, int], None] | None = None,
) -> Iterator[Outcome]:
    """Yield one outcome per slide and asked-for step, upstream first, as they come.

    ``steps`` are the steps to take, all by default; what they are computed from must be valid, or they fail with
    MissingUpstream. ``force`` computes them anew whatever is stored. ``on_patches`` is called with stem, patches done
    and patches in all while patches are encoded.
    One bad slide is failed and skipped outcomes, never an exception. Every encoder is loaded at most once.
    """
    project = recipe.project
    store = Store(project.output, project.runtime.write_rows)
    selected = frozenset(steps if steps is not None else (stage.step for stage in recipe.stages))
    run = Run(recipe, store, Models(project.runtime), selected, force, on_patches or (lambda *_: None))
    _sweep(run)
    for source in sources:
        with SlideWork(source, run) as work:
            yield from _asked_for(_outcomes(work), selected)
            _write_pictures(work)


def clash_outcomes(discovery: Discovery) -> Iterator[Outcome]:
    """Yield a failed outcome for every stem that several files share."""
    for clash in discovery.clashes:
        yield Outcome(clash.stem, SLIDE, Status.FAILED, why=str(clash.error))


def _sweep(run: Run) -> None:
    try:
        removed = run.store.sweep([geometry.name for geometry in run.recipe.project.geometry])
    except (OSError, AtlasPatchError) as error:
        log.debug("nothing was swept: %s", error)
        return
    if removed:
        log.info("removed %d half-written files of an interrupted run", removed)


def _asked_for(outcomes: Iterator[Outcome], selected: frozenset[Step]) -> Iterator[Outcome]:
    """Leave out what went well without being asked for; a failure upstream is said by the steps that it stops."""
    for outcome in outcomes:
        if outcome.step in selected:
            yield outcome


def _outcomes(work: SlideWork) -> Iterator[Outcome]:
    recipe = work.run.recipe
    for step, action in ((SLIDE, look), (TISSUE_MASK, segment)):
        yield _one(work, recipe.stage(step), action)
    for geometry in recipe.project.geometry:
        yield from _of_geometry(work, geometry)


def _of_geometry(work: SlideWork, geometry: Geometry) -> Iterator[Outcome]:
    recipe = work.run.recipe
    for stage in recipe.of("patch_coords", geometry):
        yield _one(work, stage, lay)
    ready = []
    for stage in recipe.of("patch_features", geometry):
        blocked = _blocked(work, stage)
        if blocked:
            yield blocked
        elif _needed(work, stage):
            ready.append(stage)
    yield from _remembering(work, encode(work, ready))
    for stage in recipe.of("slide_embedding", geometry):
        if stage.step in work.run.selected:
            yield _one(work, stage, embed)


def _needed(work: SlideWork, stage: Stage) -> bool:
    """Tell whether features are asked for, or what an asked-for embedding is computed from."""
    wanted = (other for other in work.run.recipe.stages if other.step in work.run.selected)
    return stage.step in work.run.selected or any(stage.step in other.upstream for other in wanted)


def _one(work: SlideWork, stage: Stage, action: Callable[[SlideWork, Stage], Outcome]) -> Outcome:
    outcome = _blocked(work, stage) or attempt(work, stage, lambda: action(work, stage))
    return next(_remembering(work, iter([outcome])))


def _remembering(work: SlideWork, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        if outcome.status in (Status.FAILED, Status.SKIPPED):
            work.stopped[outcome.step] = outcome
        yield outcome


def _blocked(work: SlideWork, stage: Stage) -> Outcome | None:
    """Return why a stage cannot be taken: the step before it failed, or could not be taken itself.

    The first asked-for step after one that was not asked for carries its reason as its own failure.
    """
    culprit = next((work.stopped[step] for step in stage.upstream if step in work.stopped), None)
    if culprit is None:
        return None
    told = culprit.step in work.run.selected or any(step in work.run.selected for step in work.stopped)
    status = Status.SKIPPED if told else Status.FAILED
    why = f"{culprit.step} {culprit.status}" if told else culprit.why
    outcome = Outcome(work.stem, stage.step, status, why=why)
    work.stopped[stage.step] = outcome
    return outcome


def _write_pictures(work: SlideWork) -> None:
    wanted = work.run.recipe.project.pictures
    if work.stopped.get(SLIDE) or not (wanted.grids or wanted.mask or wanted.contours or wanted.save_images):
        return
    try:
        write_pictures(work)
    except (AtlasPatchError, OSError) as error:
        log.warning("%s: the pictures were not written: %s", work.stem, error)
