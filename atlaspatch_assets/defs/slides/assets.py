"""The assets of a project: one op that takes a batch of slides through every stage of the recipe."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.defs.slides.checks import build_check_specs
from atlaspatch_assets.defs.slides.progress import PROGRESS_TAG, Progress
from atlaspatch_assets.defs.slides.retries import Attempts
from atlaspatch_assets.defs.slides.run_slides import RunSlides, find_batch, stems_in_folders
from atlaspatch_assets.lib.announced import LaterCheck
from atlaspatch_assets.lib.batch_ops import batch_asset, batch_events, batch_keys, without_preview_warnings
from atlaspatch_assets.lib.config import JobConfig
from atlaspatch_assets.lib.names import ProjectNames, cohort_tags
from atlaspatch_assets.lib.options import FORCE
from atlaspatch_assets.lib.stages import asset_specs
from atlaspatch_assets.lib.untouched import gone_events
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.validity.outcome import Outcome, OutputKey
from atlaspatch_core.validity.recipe import Recipe


class BatchConfig(JobConfig):
    """Which slides a run takes, and whether it trusts what is there."""

    slides: list[str] = Field(default=[], description="Stems of the slides; empty: the partitions of the run.")
    force: Annotated[bool, FORCE] = False
    retries: int = Field(
        default=3,
        ge=0,
        le=10,
        description="How often a slide is tried again whose storage was gone or whose memory was short. "
        "A slide that is bad is never tried again.",
    )
    retry_seconds: float = Field(
        default=60.0, ge=0, description="Pause before the first of these; each further one is twice as long."
    )


def build_slide_assets(recipe: Recipe, later: Sequence[LaterCheck] = ()) -> dg.AssetsDefinition:
    """Return the assets of a project, from slide to slide embedding, one partition per slide.

    They are one op, so that a run over many slides loads each model once, each slide has metadata, a version and a fate
    of its own, and a slide that fails stops no other. ``later`` checks are evaluated where a run announced them.
    """
    with without_preview_warnings():
        specs = asset_specs(recipe)
        return _build_assets(recipe, specs, build_check_specs(ProjectNames.of(recipe.project), specs), later)


def _build_assets(
    recipe: Recipe, specs: list[dg.AssetSpec], checks: list[dg.AssetCheckSpec], later: Sequence[LaterCheck]
) -> dg.AssetsDefinition:
    description = "Takes a batch of slides through tissue mask, coords, features and embedding."
    names = ProjectNames.of(recipe.project)

    @batch_asset(names.slides, recipe.project, specs, checks, description)
    def slides_to_embeddings(context: dg.AssetExecutionContext, config: BatchConfig) -> Iterator[Any]:
        from atlaspatch_core.isolation.leases import start_ahead

        start_ahead(recipe.project.plugins)
        for warning in recipe.warnings:
            context.log.warning(str(warning))
        stems = batch_keys(names.slides, context, config.slides, lambda: stems_in_folders(recipe.project))
        attempts = Attempts(config.retries, config.retry_seconds, context.log)
        batch = _find_batch(recipe.project, stems, attempts)
        context.instance.add_run_tags(context.run.run_id, cohort_tags(source.cohort for source in batch.sources))
        yield from gone_events(names, context, dict(batch.gone), _selected_steps(context, recipe))
        outcomes = _process_batch(context, recipe, batch, attempts, force=config.force)
        open_failures = OpenFailures(names, context.instance, stems, context.run.run_id)
        yield from batch_events(names.slides, recipe.project, context, outcomes, open_failures, checks, stems, later)

    return slides_to_embeddings


def _find_batch(project: Project, stems: Sequence[str], attempts: Attempts) -> RunSlides:
    try:
        return attempts.until_seen(lambda: find_batch(project, stems))
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _process_batch(
    context: dg.AssetExecutionContext, recipe: Recipe, batch: RunSlides, attempts: Attempts, *, force: bool
) -> Iterator[Outcome]:
    """Yield what becomes of the slides that are there, and of those that share their stem.

    Raises LostSlides at the end where a folder that may hold others cannot be looked into.
    """
    from atlaspatch_core.pipeline.processing import process

    steps, total = _selected_steps(context, recipe), len(batch.sources) + len(batch.lost)
    progress = Progress(context.log, total, len(steps), lambda text: _tag_progress(context, text))
    yield from progress.watch_lost(batch.failures(steps[0]))

    def attempt(sources: Sequence[SlideSource]) -> Iterator[Outcome]:
        return process(sources, recipe, steps=steps, force=force, on_patches=progress.on_patches)

    yield from progress.watch(attempts.outcomes(batch.sources, attempt))
    batch.check_seen()


def _tag_progress(context: dg.AssetExecutionContext, text: str) -> None:
    """Show how far the run is on its page and in the list of runs."""
    context.instance.add_run_tags(context.run.run_id, {PROGRESS_TAG: text})


def _selected_steps(context: dg.AssetExecutionContext, recipe: Recipe) -> list[OutputKey]:
    keys, names = context.selected_asset_keys, ProjectNames.of(recipe.project)
    return [stage.step for stage in recipe.stages if names.asset_key(stage.step) in keys]
