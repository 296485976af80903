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
from atlaspatch_core.pipeline.share_encoding import encode_share
from atlaspatch_core.pipeline.share_mailbox import ShareMailbox
from atlaspatch_core.pipeline.shares import Flush, PatchShare
from atlaspatch_core.pipeline.slide_work import RunContext, SlideWork
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob, JobEnd, SharedFeatures, finish_job
from atlaspatch_core.slides.local_copy import limit_copies
from atlaspatch_core.storage.plugin_names import note_names
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, Recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files

log = logging.getLogger(__name__)

Fed = SlideSource | PatchShare | Flush
"""What a worker is given to do."""

MOST_BYTES_AHEAD = 128 * 2**20
"""Patches that wait for the encoders, besides those that the reader itself holds."""
MOST_BYTES_AHEAD_ON_A_CPU = 8 * 2**20
"""The same of a worker on the CPU that shares slides: what it has read, some seconds of its work, is not shared."""
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
    store = Store(recipe.project.output)
    selected = steps_of(recipe, steps)
    limit_copies(recipe.project.runtime.remote_cache, recipe.project.runtime.remote_cache_gb)
    slides = len(sources) if isinstance(sources, Sequence) else 1
    if isinstance(sources, Sequence):
        sources = copy_ahead(sources, lambda stems: frozenset() if force else up_to_date(recipe, stems, selected))
    feed = crashing_last(sources, store)
    yield from process_feed(
        feed, recipe, steps=steps, trusted=trusted, force=force, on_patches=on_patches, slides=slides
    )


def process_feed(
    feed: Iterable[Fed],
    recipe: Recipe,
    *,
    steps: Collection[OutputKey] | None = None,
    trusted: Collection[OutputKey] = (),
    force: bool = False,
    on_patches: Callable[[str, int, int], None] | None = None,
    slides: int = 1,
    mailbox: ShareMailbox | None = None,
) -> Generator[Outcome]:
    """Yield what ``process`` does of slides in the order in which they come, and encode patches of others' slides.

    ``slides`` is how many come, 1 where nobody knows; ``mailbox`` is where patches are asked for and given away. Raises
    what ``process`` does.
    """
    project = recipe.project
    store = Store(project.output, project.runtime.write_rows)
    selected = steps_of(recipe, steps)
    report_patches = on_patches or (lambda *_: None)
    models, forecast = Models(project.runtime), Forecast(slides)
    run = RunContext(recipe, store, models, selected, force, report_patches, frozenset(trusted), forecast, mailbox)
    _remove_half_written(run)
    _note_names(run)
    encoders = (stage.encoder for stage in recipe.stages if stage.step in selected)
    fetch((encoder.name, encoder.source) for encoder in encoders if encoder)
    execute_first(project.plugins)
    for outcome in _outcomes(run, feed):
        if outcome.step in selected:  # what went wrong upstream is said by the first asked-for step that it stops
            yield outcome


def steps_of(recipe: Recipe, steps: Collection[OutputKey] | None) -> frozenset[OutputKey]:
    """Return the outputs that are asked for: all where none are named."""
    return frozenset(steps if steps is not None else (stage.step for stage in recipe.stages))


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


def _note_names(run: RunContext) -> None:
    """Note what the plugin files call their encoders, for who looks at what they make; that stops no work."""
    recipe = run.recipe
    try:
        note_names(run.store, recipe.encoders, recipe.plugins if recipe.project.plugins else ())
    except (OSError, AtlasPatchError, ValueError) as error:
        log.debug("the names of the plugins' encoders are not noted: %s", error)


def _outcomes(run: RunContext, feed: Iterable[Fed]) -> Iterator[Outcome]:
    behind: deque[Future[list[Outcome]]] = deque()
    on_cpu = run.mailbox is not None and run.recipe.project.runtime.device == "cpu"
    most_bytes = MOST_BYTES_AHEAD_ON_A_CPU if on_cpu else MOST_BYTES_AHEAD
    with (
        ThreadPoolExecutor(1, "keep") as keeper,
        closing(prefetch(_all(run, feed), _size, most_bytes)) as items,
    ):
        batcher = Batcher(lambda job: behind.append(keeper.submit(_finish, job)))
        for item in items:
            if isinstance(item, Outcome):
                yield item
            elif isinstance(item, FeatureBatch):
                batcher.add(item)
            elif isinstance(item, SharedFeatures):
                item.job.add(item.rows, item.features)
            elif isinstance(item, JobEnd):
                batcher.end(item.job)
            else:
                batcher.flush()
            yield from _written_outcomes(behind, 0 if isinstance(item, Flush) else MOST_JOBS_BEHIND)
        batcher.flush()
        yield from _written_outcomes(behind, 0)


def _all(run: RunContext, feed: Iterable[Fed]) -> Generator[Item]:
    for item in feed:
        if isinstance(item, SlideSource):
            run.forecast.begin_slide()
            with SlideWork(item, run) as work:
                yield from prepare_slide(work)
        elif isinstance(item, PatchShare):
            yield from encode_share(run, item)
        else:
            yield item


def _size(item: Item) -> int:
    if isinstance(item, SharedFeatures):
        return sum(values.nbytes for values in item.features)
    return item.patches.nbytes if isinstance(item, FeatureBatch) else BYTES_OF_AN_OUTCOME


def _finish(job: FeatureJob) -> list[Outcome]:
    if job.receiver:
        job.receiver.end()
        return []
    outcomes = [remember_stop(job.work, outcome) for outcome in finish_job(job)]
    return [*outcomes, *embeddings(job.work, job.geometry)]


def _written_outcomes(behind: deque[Future[list[Outcome]]], most: int) -> Iterator[Outcome]:
    """Yield the outcomes of jobs that are kept; wait while more than ``most`` are not."""
    while behind and (len(behind) > most or behind[0].done()):
        yield from behind.popleft().result()
