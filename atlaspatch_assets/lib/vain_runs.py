"""Runs that ended in vain, before they saw to what they were about: asked for again, after pauses, a few times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from atlaspatch_assets.lib.names import PartitionKind
from atlaspatch_assets.lib.project_runs import listed_keys
from atlaspatch_assets.lib.stopped_runs import STOPPED_BY

MOST_ATTEMPTS = 8
FIRST_PAUSE = 300.0
"""Seconds from the end of a run in vain to the next; each further pause is twice as long, all of them take a day."""
LATELY = timedelta(days=30)
MOST_RUNS_IN_VAIN = 500
"""Runs, the latest, whose slides or cases are asked for again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is to be asked for now."""

    request: dg.RunRequest | None
    """None where it is to be asked for later or not again."""
    waits: bool = False
    """Whether it is to be asked for later."""


def next_attempt(instance: dg.DagsterInstance, build_request: Callable[[int], dg.RunRequest], now: float) -> Attempt:
    """Return the first attempt that no run was asked for, once its pause is over; ``now`` is in seconds since 1970.

    Dagster grants a run key once. A run may end before it looked at what it was about (the project file could not be
    read, its process was killed), or what it made was deleted since: then the next attempt has another key, which
    ``build_request`` gives it. What a person cancelled is not asked for again.
    """
    for attempt in range(MOST_ATTEMPTS):
        request = build_request(attempt)
        records = instance.get_run_records(filters=dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)}))
        if not records:
            return Attempt(request)
        if any(record.dagster_run.status is dg.DagsterRunStatus.CANCELED for record in records):
            return Attempt(None)
        if now < max(map(_end_of, records)) + FIRST_PAUSE * 2**attempt:
            return Attempt(None, waits=True)
    return Attempt(None)


def keys_of_failed_runs(
    kind: PartitionKind, instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return slide or case to the end, in seconds since 1970, of its latest run with these tags that failed lately.

    Which of these a run saw to, their own verdicts tell. Those that the output folder stopped are taken up as they are.
    """
    filters = dg.RunsFilter(
        job_name=kind.job_name,
        tags=dict(tags or {}),
        statuses=[dg.DagsterRunStatus.FAILURE],
        updated_after=datetime.now(UTC) - LATELY,
    )
    ends: dict[str, float] = {}
    for record in instance.get_run_records(filters=filters, limit=MOST_RUNS_IN_VAIN):
        if STOPPED_BY not in record.dagster_run.tags:
            for key in listed_keys(kind, record.dagster_run):
                ends[key] = max(ends.get(key, 0.0), _end_of(record))
    return ends


def _end_of(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()
