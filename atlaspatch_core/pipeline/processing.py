"""Slides in, outcomes out: what the command line and the assets both call.

A thread prepares slide after slide (identity, mask, coords) and reads its patches ahead; the caller's thread encodes
them in batches that cross slide borders; a third thread keeps features and makes embeddings. So no part waits for
another for longer than it must, and what lies between them is bounded.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.encoders.hub import fetch
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.isolation.leases import execute_first
from atlaspatch_core.pipeline.batching import Batcher
from atlaspatch_core.pipeline.copies_ahead import copy_ahead
from atlaspatch_core.pipeline.crashes import crashing_last
from atlaspatch_core.pipeline.forecast import Forecast
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.prefetch import prefetch
from atlaspatch_core.pipeline.preparation import Item, embeddings, prepare_slide, remember_stop
from atlaspatch_core.pipeline.slide_work import RunContext, SlideWork
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob, finish_job
from atlaspatch_core.slides.local_copy import limit_copies
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, Recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files

log = logging.getLogger(__name__)

MOST_BYTES_AHEAD = 128 * 2**20
"""Patches that wait for the encoders, besides those that the reader itself holds."""
BYTES_OF_AN_OUTCOME = 8192
"""Roughly, so that a hundred thousand finished slides do not run ahead of whoever takes their outcomes."""
MOST_JOBS_BEHIND = 2
"""Slides whose features wait to be written."""


def process(
    sources: Iterable[SlideSource],
    recipe: Recipe,
    *,
    steps: Collection[OutputKey] | None = None,
    trusted: Collection[OutputKey] = (),
    force: bool = False,
    on_patches: Callable[[str, int, int], None] | None = None,
) -> Generator[Outcome]:
    """Yield one outcome per slide and asked-for step, as they come; upstream first for each slide.

    What is stored and valid is reused. One bad slide is failed and skipped outcomes, never an exception, also where it
    crashes its reader; such a slide is tried last the next time. Every encoder is loaded at most once.

    Args:
        sources: Slides that have not been opened, as ``find_slides`` returns them; taken one by one.
        recipe: What is to be made of every slide, and where it is kept.
        steps: The outputs to make; all by default. What they are computed from must be valid, or they fail with
            MissingUpstream.
        trusted: Outputs that are taken as they lie, whatever the recipe says of them, unless what they were made from
            changed: then they fail with OutOfDate. Of these, what is not stored is made by the recipe.
        force: Compute the other outputs anew whatever is stored.
        on_patches: Called with stem, patches done and patches in all while patches are encoded.

    Yields:
        Outcomes: computed, reused, restamped, skipped or failed, with why, fingerprint, seconds and numbers.

    Raises:
        MissingWeights, WrongWeights, MissingExtra: An encoder that is needed cannot be loaded.
        UnusableOutput: The output folder is full, read-only or gone; the slides under way have no outcome.
        LostSlides: A folder of slides went away; the same.

    Example:
        >>> for outcome in process(sources, recipe):
        ...     print(outcome.step, outcome.status)
        slide reused
        tissue_mask reused
        patch_coords reused
        patch_features/efficientnet_lite0 reused
        slide_embedding/mean-efficientnet_lite0 reused
    """
    project = recipe.project
    store = Store(project.output, project.runtime.write_rows)
    selected = frozenset(steps if steps is not None else (stage.step for stage in recipe.stages))
    report_patches = on_patches or (lambda *_: None)
    forecast = Forecast(len(sources) if isinstance(sources, Sequence) else 1)
    models = Models(project.runtime)
    run = RunContext(recipe, store, models, selected, force, report_patches, frozenset(trusted), forecast)
    _remove_half_written(run)
    encoders = (stage.encoder for stage in recipe.stages if stage.step in selected)
    fetch((encoder.name, encoder.source) for encoder in encoders if encoder)
    execute_first(project.plugins)
    limit_copies(project.runtime.remote_cache, project.runtime.remote_cache_gb)
    if isinstance(sources, Sequence):
        sources = copy_ahead(sources, lambda stems: frozenset() if force else up_to_date(recipe, stems, selected))
    for outcome in _outcomes(run, crashing_last(sources, store)):
        if outcome.step in selected:  # what went wrong upstream is said by the first asked-for step that it stops
            yield outcome


def up_to_date(recipe: Recipe, stems: Sequence[str], steps: Collection[OutputKey]) -> frozenset[str]:
    """Return the slides whose outputs are all valid, as far as their records say: their pixels will not be read."""
    states = validities(recipe, stems, stored_in_files(recipe), steps=steps)
    return frozenset(stems) - {validity.stem for validity in states if validity.state is not State.FRESH}


def clash_outcomes(discovery: Discovery) -> Iterator[Outcome]:
    """Yield a failed outcome for every stem that several files share."""
    for clash in discovery.clashes:
        yield Outcome(clash.stem, SLIDE, Status.FAILED, why=str(clash.error))


def _remove_half_written(run: RunContext) -> None:
    try:
        removed = run.store.remove_half_written([geometry.name for geometry in run.recipe.project.geometry])
    except (OSError, AtlasPatchError) as error:
        log.debug("nothing was swept: %s", error)
        return
    if removed:
        log.info("removed %d half-written files of an interrupted run", removed)


def _outcomes(run: RunContext, sources: Iterable[SlideSource]) -> Iterator[Outcome]:
    behind: deque[Future[list[Outcome]]] = deque()
    with (
        ThreadPoolExecutor(1, "keep") as keeper,
        closing(prefetch(_all(run, sources), _size, MOST_BYTES_AHEAD)) as items,
    ):
        batcher = Batcher(None, lambda job: behind.append(keeper.submit(_finish, job)))
        for item in items:
            if isinstance(item, Outcome):
                yield item
            elif isinstance(item, FeatureBatch):
                batcher.add(item)
            else:
                batcher.end(item.job)
            yield from _written_outcomes(behind, MOST_JOBS_BEHIND)
        batcher.flush()
        yield from _written_outcomes(behind, 0)


def _all(run: RunContext, sources: Iterable[SlideSource]) -> Generator[Item]:
    for source in sources:
        run.forecast.begin_slide()
        with SlideWork(source, run) as work:
            yield from prepare_slide(work)


def _size(item: Item) -> int:
    return item.patches.nbytes if isinstance(item, FeatureBatch) else BYTES_OF_AN_OUTCOME


def _finish(job: FeatureJob) -> list[Outcome]:
    outcomes = [remember_stop(job.work, outcome) for outcome in finish_job(job)]
    return [*outcomes, *embeddings(job.work, job.geometry)]


def _written_outcomes(behind: deque[Future[list[Outcome]]], most: int) -> Iterator[Outcome]:
    """Yield the outcomes of jobs that are kept; wait while more than ``most`` are not."""
    while behind and (len(behind) > most or behind[0].done()):
        yield from behind.popleft().result()
