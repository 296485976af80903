"""The assets of a project: one op that takes a batch of slides through every stage of the recipe."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.defs.slides.checks import check_specs
from atlaspatch_assets.defs.slides.progress import Progress
from atlaspatch_assets.defs.slides.retries import Attempts
from atlaspatch_assets.defs.slides.run_slides import find_batch
from atlaspatch_assets.lib.batches import OP_NAME
from atlaspatch_assets.lib.events import events
from atlaspatch_assets.lib.partitions import SLIDES, register
from atlaspatch_assets.lib.pools import pool_of
from atlaspatch_assets.lib.stages import asset_key, asset_specs
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.discovery.find import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe


class BatchConfig(dg.Config):
    """Which slides a run takes, and whether it trusts what is there."""

    slides: list[str] = Field(default=[], description="Stems of the slides; empty: the partitions of the run.")
    force: bool = Field(default=False, description="Compute the selected assets anew, though what is stored is valid.")
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


def build_slide_assets(recipe: Recipe) -> dg.AssetsDefinition:
    """Return the assets of a project, from slide to slide embedding, one partition per slide.

    They are one op, so that a run over many slides loads each model once, each slide has metadata, a version and a fate
    of its own, and a slide that fails stops no other.
    """
    specs = asset_specs(recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _multi_asset(recipe, specs, check_specs(specs))


def _multi_asset(recipe: Recipe, specs: list[dg.AssetSpec], checks: list[dg.AssetCheckSpec]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=OP_NAME,
        description="Takes a batch of slides through tissue mask, coords, features and embedding.",
        specs=specs,
        check_specs=checks,
        can_subset=True,
        partitions_def=SLIDES,
        backfill_policy=dg.BackfillPolicy.multi_run(recipe.project.runtime.slides_per_run),
        pool=pool_of(recipe.project.runtime),
    )
    def slides_to_embeddings(context: dg.AssetExecutionContext, config: BatchConfig) -> Iterator[Any]:
        stems = _stems(context, config)
        failed: dict[str, str] = {}
        standing = OpenFailures(context.instance, stems)
        for outcome in _outcomes(context, config, recipe, stems, failed):
            yield from events(outcome, standing)
            if outcome.status is Status.FAILED:
                failed[outcome.stem] = outcome.why
        yield from _check_outputs(context, checks)
        if failed:
            raise _failure(failed, len(stems))

    return slides_to_embeddings


def _stems(context: dg.AssetExecutionContext, config: BatchConfig) -> list[str]:
    """Return the slides of the run; the partitions are read once, because each look at them reads all there are."""
    if config.slides:
        register(context.instance, config.slides)
    return list(dict.fromkeys(config.slides or context.partition_keys))


def _outcomes(
    context: dg.AssetExecutionContext, config: BatchConfig, recipe: Recipe, stems: list[str], failed: dict[str, str]
) -> Iterator[Outcome]:
    """Yield what becomes of the slides; those whose folder is away are noted as ``failed``, and get no verdict."""
    from atlaspatch_core.pipeline.processing import process

    steps = _selected(context, recipe)
    progress = Progress(context.log, len(stems), len(steps), lambda text: _tell(context, text))
    attempts = Attempts(config.retries, config.retry_seconds, context.log)
    try:
        batch = attempts.until_seen(lambda: find_batch(recipe.project, stems))
    except AtlasPatchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    failed |= dict(batch.unseen)
    yield from progress.lost(batch.failures(steps[0]))

    def take(sources: Sequence[SlideSource]) -> Iterator[Outcome]:
        return process(sources, recipe, steps=steps, force=config.force, on_patches=progress.on_patches)

    yield from progress.watch(attempts.outcomes(batch.sources, take))


def _tell(context: dg.AssetExecutionContext, text: str) -> None:
    """Show how far the run is on its page and in the list of runs."""
    context.instance.add_run_tags(context.run.run_id, {"atlaspatch/progress": text})


def _selected(context: dg.AssetExecutionContext, recipe: Recipe) -> list[OutputKey]:
    keys = context.selected_asset_keys
    return [stage.step for stage in recipe.stages if asset_key(stage.step) in keys]


def _check_outputs(context: dg.AssetExecutionContext, checks: Iterable[dg.AssetCheckSpec]) -> Iterator[dg.Output[None]]:
    """Yield the outputs of the selected checks: Dagster waits for them, though every slide has had its verdict."""
    for check in checks:
        if check.key in context.selected_asset_check_keys:
            yield dg.Output(None, output_name=check.get_python_identifier())


def _failure(failed: dict[str, str], total: int) -> dg.Failure:
    return dg.Failure(
        f"{len(failed)} of {total} slides failed: {', '.join(failed)}",
        metadata={"failed_slides": dg.MetadataValue.json(failed)},
        allow_retries=False,
    )
