"""What Dagster recorded of every output, held against what the project asks for."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import dagster as dg
from dagster import DagsterInstance

from atlaspatch_assets.dagster_internals import data_versions, failed_verdicts, last_verdicts
from atlaspatch_assets.lib.failures import state_observation
from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_assets.lib.without_patches import slides_without_patches
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity, validities
from atlaspatch_core.validity.stored import Stored

VALID = "valid"
"""Name of the check that fails where an output is stale, with the reason."""
MOST_VERDICTS = 1000
"""Verdicts told at once for one asset; every one is an event that is kept for good."""
OLDER_REASON = "the reason is in an older event"
MOST_REASONS = 10_000
"""Latest failed checks of an asset that are read for their reasons."""


def recorded_validities(
    recipe: Recipe, instance: DagsterInstance, steps: Collection[OutputKey] | None = None
) -> list[Validity]:
    """Return the state of outputs of all slides that are partitions, slide by slide; of all, or of ``steps`` alone."""
    names = ProjectNames.of(recipe.project)
    stems = sorted(names.slides.keys(instance))
    stages = recipe.with_upstream(steps)
    stored = stored_in_dagster(names, instance, [stage.step for stage in stages])
    stated, series = stated_of_slides(recipe, stems)
    return list(validities(recipe, stems, stored, steps=steps, stated=stated, series=series))


def stated_of_slides(
    recipe: Recipe, stems: Iterable[str]
) -> tuple[dict[str, float | None] | None, dict[str, SeriesChoice]]:
    """Return stem to the µm/px that the user states, None where the folders cannot be listed, and to the image.

    They are listed only where a table states any.
    """
    if recipe.project.slides.mpp_csv is None and recipe.project.slides.slide_list is None:
        return dict.fromkeys(stems), {}
    try:
        sources = find_slides(recipe.project, seconds=SECONDS_A_LOOK).sources
    except AtlasPatchError:
        return None, {}
    return {source.stem: source.mpp for source in sources}, {source.stem: source.series for source in sources}


def stored_in_dagster(names: ProjectNames, instance: DagsterInstance, steps: Collection[OutputKey]) -> Stored:
    """Return the fingerprints of the latest materialisations, and what failed and why; a few queries an asset."""
    versions = {step: data_versions(instance, names.asset_key(step)) for step in steps}
    reasons = {step: failure_reasons(instance, names.check_key(step, PROCESSED)) for step in steps}
    return Stored(versions, reasons, slides_without_patches(names, instance, versions))


def failure_reasons(instance: DagsterInstance, check: dg.AssetCheckKey) -> dict[str, str]:
    """Return partition to reason where the latest verdict of a check is a failure."""
    failed = {partition for partition, passed in last_verdicts(instance, check).items() if passed is False}
    reasons = verdict_reasons(instance, check) if failed else {}
    return {partition: reasons.get(partition, OLDER_REASON) for partition in failed}


def verdict_reasons(instance: DagsterInstance, check: dg.AssetCheckKey) -> dict[str, str]:
    """Return partition to the reason of its latest failed verdict, of the latest there are."""
    latest: dict[str, str] = {}
    for verdict in failed_verdicts(instance, check, MOST_REASONS):
        reason = verdict.metadata.get("reason")
        latest.setdefault(str(verdict.partition), str(reason.value) if reason else "")
    return latest


def validity_verdicts(
    names: ProjectNames, outputs: Iterable[Validity], instance: DagsterInstance, most: int = MOST_VERDICTS
) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation]:
    """Yield the verdicts that are news: outputs that became stale, or for another reason, or fresh again.

    Each comes with an observation, which the page of the slide shows beside the latest materialisation.
    """
    recorded: dict[OutputKey, tuple[Mapping[str, bool | None], Mapping[str, str]]] = {}
    remaining: dict[OutputKey, int] = {}
    for validity in outputs:
        step = validity.step
        if step not in recorded:
            check = names.check_key(step, VALID)
            recorded[step], remaining[step] = (last_verdicts(instance, check), verdict_reasons(instance, check)), most
        if remaining[step] and _is_news(validity, *recorded[step]):
            remaining[step] -= 1
            yield validity_verdict(names, validity)
            yield state_observation(names, validity)


def _is_news(validity: Validity, passed: Mapping[str, bool | None], reasons: Mapping[str, str]) -> bool:
    before = passed.get(validity.stem)
    if validity.state is State.STALE:
        return before is not False or reasons.get(validity.stem, validity.why) != validity.why
    return validity.state is State.FRESH and before is False


def validity_verdict(names: ProjectNames, validity: Validity) -> dg.AssetCheckEvaluation:
    """Return the verdict on an output, fresh or not."""
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(validity.step),
        check_name=VALID,
        passed=validity.state is State.FRESH,
        partition=validity.stem,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={} if validity.state is State.FRESH else {"reason": validity.why or validity.state.value},
    )
