"""The audit: a weekly look at the values in a sample of the files."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from atlaspatch_assets.dagster_internals import data_versions
from atlaspatch_assets.defs.audit.checks import (
    DISTINCT,
    OF_KIND,
    SOUND,
    audit_specs,
    compared_stages,
    distinctness_verdict,
    recorded_versions,
    soundness_verdict,
)
from atlaspatch_assets.lib.announced import LaterCheck
from atlaspatch_assets.lib.batch_ops import without_preview_warnings
from atlaspatch_assets.lib.declaring import asset_job, running_schedule
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.results import check_outputs, table_metadata
from atlaspatch_core.discovery.find import find_slides_if_any
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

if TYPE_CHECKING:
    from atlaspatch_core.operations.inspect import Inspected

Targets = Mapping[OutputKey, Sequence[str]]
"""Step to the slides that are asked about."""

JOB_NAME = "audit"
OP_NAME = "audit_outputs"
MOST_COMPARED = 2000
"""Embeddings, the latest, that those of a run are compared with where it announced so; the audit takes all."""
EVERY_SUNDAY_NIGHT = "0 3 * * 0"


class AuditConfig(dg.Config):
    """Which slides are looked at."""

    slides: list[str] = Field(default=[], description="Stems of the slides to look at; empty: a sample of all.")
    share: float = Field(default=0.05, gt=0, le=1, description="Share of the slides in the sample.")
    most: int = Field(default=2000, gt=0, description="Slides in the sample, at most. Each is some 20 events of 2 kB.")
    seed: str = Field(default="", description="Decides the sample; empty: another one every week.")
    duplicates: bool = Field(default=True, description="Compare embeddings with those of all slides; reads every file.")
    dry_run: bool = Field(default=False, description="Only say which slides would be looked at.")


def build_audit(recipe: Recipe) -> dg.Definitions:
    """Return the checks, the job ``audit`` and its weekly schedule."""
    with without_preview_warnings():
        checks = _build_checks(recipe)
    names = ProjectNames.of(recipe.project)
    job = asset_job(
        names,
        JOB_NAME,
        dg.AssetSelection.checks(checks),
        "Reads a sample of the outputs and holds their values against their bounds. Changes nothing but "
        "the verdicts of the checks; with dry_run: true not even these, and only says which slides it would read.",
    )
    weekly = "A new sample every Sunday night."
    schedule = running_schedule(names, "audit_weekly", job, EVERY_SUNDAY_NIGHT, weekly)
    return dg.Definitions(asset_checks=[checks], jobs=[job], schedules=[schedule])


def _build_checks(recipe: Recipe) -> dg.AssetChecksDefinition:
    specs, names = audit_specs(recipe), ProjectNames.of(recipe.project)

    @dg.multi_asset_check(name=names.label(OP_NAME), specs=specs, can_subset=True)
    def audit_outputs(context: dg.AssetCheckExecutionContext, config: AuditConfig) -> Iterator[Any]:
        versions = recorded_versions(recipe, context.instance)
        stems = choose_sample(list(versions), config, date.today())
        context.log.info("%d of %d slides are looked at: %s", len(stems), len(versions), ", ".join(stems[:100]))
        failed: list[dict[str, str]] = []
        if not config.dry_run:
            selected = context.selected_asset_check_keys
            for evaluation in _verdicts(recipe, versions, stems, config, context.instance):
                if evaluation.asset_check_key in selected:
                    _warn_of_failure(context.log.warning, evaluation)
                    failed += [] if evaluation.passed else [_failure_row(evaluation)]
                    yield evaluation
        rows = table_metadata(failed, slide="string", output="string", check="string", reason="string")
        metadata = {"slides": len(versions), "looked_at": len(stems), "failed": len(failed), "findings": rows}
        yield from check_outputs(
            context.selected_asset_check_keys, specs, metadata | {"sample": ", ".join(stems[:100])}
        )

    return audit_outputs


def later_audit_checks(recipe: Recipe) -> list[LaterCheck]:
    """Return the checks of the audit, which a run evaluates only where it announced them."""
    audited = tuple(stage.step for stage in recipe.stages if stage.step.kind in OF_KIND)
    compared = tuple(stage.step for stage in compared_stages(recipe))

    def evaluate_sound(instance: dg.DagsterInstance, targets: Targets) -> Iterator[dg.AssetCheckEvaluation]:
        versions, names = recorded_versions(recipe, instance), ProjectNames.of(recipe.project)
        stems = list(dict.fromkeys(stem for stems in targets.values() for stem in stems))
        made_outputs = {stem: versions.get(stem, {}) for stem in stems}
        for inspected in _inspect(recipe, made_outputs):
            if inspected.stem in targets.get(inspected.step, ()):
                yield soundness_verdict(names, inspected)
        yield from _nothing_made(names, SOUND, targets, made_outputs)

    def evaluate_distinct(instance: dg.DagsterInstance, targets: Targets) -> Iterator[dg.AssetCheckEvaluation]:
        names = ProjectNames.of(recipe.project)
        for stage in compared_stages(recipe):
            stems, others = targets.get(stage.step, ()), list(data_versions(instance, names.asset_key(stage.step)))
            near = find_duplicates(recipe, stage, stems, others[-MOST_COMPARED:])
            yield from (distinctness_verdict(names, stage.step, stem, duplicates) for stem, duplicates in near.items())
            yield from _nothing_made(names, DISTINCT, {stage.step: [stem for stem in stems if stem not in near]}, {})

    return [LaterCheck(SOUND, audited, evaluate_sound), LaterCheck(DISTINCT, compared, evaluate_distinct)]


def _nothing_made(
    names: ProjectNames, check: str, targets: Targets, made_outputs: Mapping[str, Collection[OutputKey]]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the verdicts on outputs that are not there: they were announced, and are not sound."""
    for step, stems in targets.items():
        for stem in stems:
            if step not in made_outputs.get(stem, ()):
                yield dg.AssetCheckEvaluation(
                    asset_key=names.asset_key(step),
                    check_name=check,
                    passed=False,
                    partition=stem,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={"reason": "there is nothing to look at; the check `processed` says why"},
                )


def choose_sample(stems: Sequence[str], config: AuditConfig, today: date) -> list[str]:
    """Return the slides to look at: those that are named, or a sample that the seed, or the week, decides.

    Raises dagster.Failure for a slide of which nothing was ever made.
    """
    if unknown := [stem for stem in config.slides if stem not in set(stems)]:
        raise dg.Failure(f"{', '.join(unknown)}: nothing was ever made of a slide of this name", allow_retries=False)
    if config.slides:
        return config.slides
    count = min(config.most, max(1, round(len(stems) * config.share)), len(stems))
    year, week, _ = today.isocalendar()
    return sorted(random.Random(config.seed or f"{year}-{week}").sample(sorted(stems), count))


def _verdicts(
    recipe: Recipe,
    versions: dict[str, dict[Any, str]],
    stems: Sequence[str],
    config: AuditConfig,
    instance: dg.DagsterInstance,
) -> Iterator[dg.AssetCheckEvaluation]:
    names = ProjectNames.of(recipe.project)
    for inspected in _inspect(recipe, {stem: versions[stem] for stem in stems}):
        yield soundness_verdict(names, inspected)
    if config.duplicates:
        yield from _distinctness_verdicts(recipe, stems, instance)


def _distinctness_verdicts(
    recipe: Recipe, stems: Sequence[str], instance: dg.DagsterInstance
) -> Iterator[dg.AssetCheckEvaluation]:
    names = ProjectNames.of(recipe.project)
    for stage in compared_stages(recipe):
        among = list(data_versions(instance, names.asset_key(stage.step)))
        for stem, duplicates in find_duplicates(recipe, stage, stems, among).items():
            yield distinctness_verdict(names, stage.step, stem, duplicates)


def _inspect(recipe: Recipe, versions: Mapping[str, Mapping[OutputKey, str]]) -> "Iterator[Inspected]":
    from atlaspatch_core.operations.inspect import inspect_slide

    sources = find_slides_if_any(recipe.project, unless=AtlasPatchError).by_stem
    for stem, of_slide in versions.items():
        yield from inspect_slide(recipe, sources.get(stem), stem, of_slide)


def find_duplicates(
    recipe: Recipe, stage: OutputSpec, stems: Sequence[str], among: Sequence[str]
) -> dict[str, list[str]]:
    """Return slide to the others that have its embedding."""
    from atlaspatch_core.operations.near_duplicates import find_near_duplicates

    return find_near_duplicates(Store(recipe.project.output), stage, stems, among)


def _failure_row(evaluation: dg.AssetCheckEvaluation) -> dict[str, str]:
    return {
        "slide": str(evaluation.partition),
        "output": evaluation.asset_key.to_user_string(),
        "check": evaluation.check_name,
        "reason": str(evaluation.metadata["reason"].value),
    }


def _warn_of_failure(warn: Callable[..., None], evaluation: dg.AssetCheckEvaluation) -> None:
    if not evaluation.passed:
        warn(
            "%s, %s: %s",
            evaluation.partition,
            evaluation.asset_key.to_user_string(),
            evaluation.metadata["reason"].value,
        )
