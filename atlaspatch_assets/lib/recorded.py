"""What Dagster recorded of every output, held against what the project asks for."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import dagster as dg
from dagster import DagsterInstance

from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_assets.lib.verdicts import PROCESSED
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.validity.expected import with_upstream
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Stored, Validity, validities

VALID = "valid"
"""Name of the check that fails where an output is stale, with the reason."""
MOST_VERDICTS = 1000
"""Verdicts told at once for one asset; every one is an event that is kept for good."""
MOST_REASONS = 10_000
"""Latest failed checks of an asset that are read for their reasons."""
VERSION_TAG = "dagster/data_version"
PAGE = 1000


def recorded_validities(
    recipe: Recipe, instance: DagsterInstance, steps: Collection[OutputKey] | None = None
) -> list[Validity]:
    """Return the state of outputs of all slides that are partitions, slide by slide; of all, or of ``steps`` alone."""
    stems = sorted(SLIDES.keys(instance))
    stages = recipe.stages if steps is None else with_upstream(recipe, steps)
    stored = stored_in_dagster(instance, [stage.step for stage in stages])
    return list(validities(recipe, stems, stored, steps=steps, stated=stated_mpp(recipe, stems)))


def stated_mpp(recipe: Recipe, stems: Iterable[str]) -> dict[str, float | None] | None:
    """Return stem to the µm/px that the user states; None where the folders cannot be listed.

    They are listed only where a table states any.
    """
    if recipe.project.slides.mpp_csv is None and recipe.project.slides.slide_list is None:
        return dict.fromkeys(stems)
    try:
        return {source.stem: source.mpp for source in find_slides(recipe.project).sources}
    except AtlasPatchError:
        return None


def stored_in_dagster(instance: DagsterInstance, steps: Collection[OutputKey]) -> Stored:
    """Return the fingerprints of the latest materialisations, and what failed and why; a few queries an asset."""
    return Stored(
        {step: fingerprints(instance, asset_key(step)) for step in steps},
        {step: failures(instance, dg.AssetCheckKey(asset_key(step), PROCESSED)) for step in steps},
    )


def fingerprints(instance: DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return partition to the data version of its latest materialisation."""
    storage = instance.event_log_storage
    if not hasattr(storage, "get_latest_tags_by_partition"):
        return _fingerprints_by_pages(instance, key)
    found = storage.get_latest_tags_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, [VERSION_TAG])
    return {partition: tags[VERSION_TAG] for partition, tags in found.items() if VERSION_TAG in tags}


def _fingerprints_by_pages(instance: DagsterInstance, key: dg.AssetKey) -> dict[str, str]:
    """Return the same by public means, which take half a minute for 100,000 slides."""
    found: dict[str, str] = {}
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(key, limit=PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event and event.partition and event.tags:
                found.setdefault(event.partition, event.tags.get(VERSION_TAG, ""))
        cursor, more = page.cursor, page.has_more
    return found


def failures(instance: DagsterInstance, check: dg.AssetCheckKey) -> dict[str, str]:
    """Return partition to reason where the latest verdict of a check is a failure."""
    failed = {partition for partition, passed in verdicts(instance, check).items() if not passed}
    told = reasons(instance, check) if failed else {}
    return {partition: told.get(partition, "the reason is in an older event") for partition in failed}


def verdicts(instance: DagsterInstance, check: dg.AssetCheckKey) -> dict[str, bool]:
    """Return partition to whether the latest verdict of a check is a pass."""
    infos = instance.event_log_storage.get_asset_check_partition_info([check])
    told = {"SUCCEEDED": True, "FAILED": False}
    named = ((info.partition_key, info.latest_execution_status.value) for info in infos)
    return {partition: told[status] for partition, status in named if partition and status in told}


def reasons(instance: DagsterInstance, check: dg.AssetCheckKey) -> dict[str, str]:
    """Return partition to the reason of its latest failed verdict, of the latest there are."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    failed = {AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(check, MOST_REASONS, status=failed)
    found: dict[str, str] = {}
    for record in records:
        event = record.event.dagster_event if record.event else None
        if event is not None:
            evaluation = event.asset_check_evaluation_data
            reason = evaluation.metadata.get("reason")
            found.setdefault(str(evaluation.partition), str(reason.value) if reason else "")
    return found


def validity_verdicts(
    outputs: Iterable[Validity], instance: DagsterInstance, most: int = MOST_VERDICTS
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the verdicts that are news: outputs that became stale, or for another reason, or fresh again."""
    recorded: dict[OutputKey, tuple[Mapping[str, bool], Mapping[str, str]]] = {}
    remaining: dict[OutputKey, int] = {}
    for validity in outputs:
        step = validity.step
        if step not in recorded:
            check = dg.AssetCheckKey(asset_key(step), VALID)
            recorded[step], remaining[step] = (verdicts(instance, check), reasons(instance, check)), most
        if remaining[step] and _is_news(validity, *recorded[step]):
            remaining[step] -= 1
            yield _evaluation(validity)


def _is_news(validity: Validity, passed: Mapping[str, bool], reasons: Mapping[str, str]) -> bool:
    before = passed.get(validity.stem)
    if validity.state is State.STALE:
        return before is not False or reasons.get(validity.stem, validity.why) != validity.why
    return validity.state is State.FRESH and before is False


def _evaluation(validity: Validity) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=asset_key(validity.step),
        check_name=VALID,
        passed=validity.state is State.FRESH,
        partition=validity.stem,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"reason": validity.why} if validity.why else {},
    )
