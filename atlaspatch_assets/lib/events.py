"""Outcomes as Dagster events: what was made of which slide, from what, and what went wrong."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import dagster as dg

from atlaspatch_assets.lib.failures import outcome_observation
from atlaspatch_assets.lib.metadata import event_metadata
from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_assets.lib.verdicts import OpenFailures, outcome_verdicts
from atlaspatch_core.validity.outcome import Outcome, Status

__all__ = ["NO_EVENT", "PROCESSED", "materialization", "outcome_events", "version_tags"]

NO_EVENT = "NULL"
"""Dagster's word for an input that was never materialised."""

Event: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation


def outcome_events(outcome: Outcome, open_failures: OpenFailures) -> Iterator[Event]:
    """Yield the materialisation of an output that is valid now, and the verdicts of its checks that are news.

    A slide that has nothing to make (no patches, no embedding) is done, and its event says so. One
    that failed, or was skipped because another failed, has an observation that says why.
    """
    if outcome.fingerprint:
        yield materialization(open_failures.names, outcome, open_failures.instance)
    elif outcome.status in (Status.FAILED, Status.SKIPPED):
        cause = open_failures.causes.setdefault(outcome.stem, outcome.why)
        why = outcome.why if cause == outcome.why else f"{outcome.why}: {cause}"
        yield outcome_observation(open_failures.names, outcome, why, open_failures.run_id)
    yield from filter(open_failures.is_news, outcome_verdicts(open_failures.names, outcome))


def materialization(names: ProjectNames, outcome: Outcome, instance: dg.DagsterInstance) -> dg.AssetMaterialization:
    """Return the event of an output that is valid now, whether computed or reused."""
    return dg.AssetMaterialization(
        asset_key=names.asset_key(outcome.step),
        partition=outcome.stem,
        metadata=event_metadata(outcome),
        tags=version_tags(names, outcome, instance),
    )


def version_tags(names: ProjectNames, outcome: Outcome, instance: dg.DagsterInstance) -> Mapping[str, str]:
    """Return the tags by which Dagster knows one version of an output from another, and what it was computed from.

    The data version is the fingerprint. With these tags Dagster's own staleness of a slide agrees with ours. Which
    slides belong to a case it cannot know, so without a pointer it compares none, rather than all of the project.
    """
    tags = {"dagster/data_version": outcome.fingerprint or ""}
    if outcome.code_version:
        tags["dagster/code_version"] = outcome.code_version
    for step, fingerprint in outcome.inputs.items():
        key = names.asset_key(step)
        tags[f"dagster/input_data_version/{key.to_user_string()}"] = fingerprint
        of_slide = outcome.step.kind != "patient_embedding"
        pointer = last_materialization_id(key, outcome.stem, instance) if of_slide else NO_EVENT
        tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = pointer
    return tags


def last_materialization_id(key: dg.AssetKey, stem: str, instance: dg.DagsterInstance) -> str:
    """Return the number of the latest materialisation of an asset of a slide or case; NO_EVENT for none."""
    records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[stem])
    records = instance.fetch_materializations(records_filter, limit=1).records
    return str(records[0].storage_id) if records else NO_EVENT
