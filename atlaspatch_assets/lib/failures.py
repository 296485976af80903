"""Why an output was not made, or is stale, as an event on the page of its partition."""

import time

import dagster as dg

from atlaspatch_assets.lib.names import MATERIALIZE_FAILED, MATERIALIZE_STALE, ProjectNames
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.states import State, Validity

REPLACED = "Mend or replace the file: it is looked at again as soon as it changes."
"""Cure for a slide that no run was asked for."""


def outcome_observation(names: ProjectNames, outcome: Outcome, why: str, run_id: str) -> dg.AssetObservation:
    """Return the event of an output that could not be made, or was not tried because one before it failed."""
    job = names.label(MATERIALIZE_FAILED)
    cure = f"Do what the reason says, then launch the job {job}, or run 'atlaspatch backfill --failed'."
    return failure_observation(names, outcome.step, outcome.stem, why, cure=cure, status=outcome.status, run_id=run_id)


def failure_observation(
    names: ProjectNames,
    step: OutputKey,
    stem: str,
    why: str,
    *,
    cure: str,
    status: Status = Status.FAILED,
    run_id: str = "",
) -> dg.AssetObservation:
    """Return the event that says why, when and in which run, and what mends it.

    It carries no version, so nothing becomes stale by it. Dagster has events of failed materialisations, which open
    source storages do not read (1.13).
    """
    run = {"run": dg.MetadataValue.dagster_run(run_id)} if run_id else {}
    return dg.AssetObservation(
        names.asset_key(step),
        partition=stem,
        description=why,
        metadata={
            "status": status.value,
            "reason": why,
            "time": dg.MetadataValue.timestamp(time.time()),
            **run,
            "cure": cure,
        },
    )


def state_observation(names: ProjectNames, validity: Validity) -> dg.AssetObservation:
    """Return the event that says why an output became stale, or that it is what the project asks for again."""
    stale = validity.state is State.STALE
    job = names.label(MATERIALIZE_STALE)
    cure = {"cure": f"Launch the job {job}, or run 'atlaspatch backfill --stale'."} if stale else {}
    return dg.AssetObservation(
        names.asset_key(validity.step),
        partition=validity.stem,
        metadata={
            "status": validity.state.value,
            "reason": validity.why if stale else "it is what the project asks for again",
            "time": dg.MetadataValue.timestamp(time.time()),
            **cure,
        },
    )
