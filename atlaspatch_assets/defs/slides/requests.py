"""Runs over slides that came or changed: asked for once, and again where a run ended before it saw to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import dagster as dg

from atlaspatch_assets.lib.batches import cohort_batches
from atlaspatch_assets.lib.names import PartitionKind, cohort_tags
from atlaspatch_core.fingerprint import short_hash

TAGS = {"atlaspatch/source": "new_slides"}
MOST_ATTEMPTS = 8
FIRST_PAUSE = 300.0
"""Seconds from the end of a run in vain to the next; each further pause is twice as long, all of them take a day."""


@dataclass(slots=True)
class RequestedRuns:
    """What is asked for, and what is not."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)
    """Slides whose run ended without seeing to them a short while ago or too often, or was cancelled by a person."""


def request_runs(
    slides: PartitionKind,
    instance: dg.DagsterInstance,
    versions: Mapping[str, str],
    slides_per_run: int,
    now: float,
    cohorts: Mapping[str, str] = MappingProxyType({}),
) -> RequestedRuns:
    """Return the runs that are to take these slides, given at their versions; ``now`` is in seconds since 1970.

    Slides of one of the ``cohorts``, by stem, go together.

    Dagster grants a run key once. A run may end before it looked at its slides (the project file could not be read, its
    process was killed), or what it made was deleted since: then the next attempt has another key.
    """
    runs = RequestedRuns()
    for batch in cohort_batches(versions, cohorts, slides_per_run):
        tags = TAGS | cohort_tags(cohorts.get(stem, "") for stem in batch)
        request = _build_request(slides, instance, batch, versions, now, tags)
        if request is None:
            runs.put_off += batch
        else:
            runs.requests.append(request)
    return runs


def _build_request(
    slides: PartitionKind,
    instance: dg.DagsterInstance,
    batch: Sequence[str],
    versions: Mapping[str, str],
    now: float,
    tags: Mapping[str, str],
) -> dg.RunRequest | None:
    for attempt in range(MOST_ATTEMPTS):
        request = slides.request(batch, _run_key(batch, versions, attempt), tags=tags)
        records = instance.get_run_records(filters=dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)}))
        if not records:
            return request
        ended = max(record.end_time or record.update_timestamp.timestamp() for record in records)
        cancelled = any(record.dagster_run.status is dg.DagsterRunStatus.CANCELED for record in records)
        if cancelled or now < ended + FIRST_PAUSE * 2**attempt:
            return None
    return None


def _run_key(stems: Sequence[str], versions: Mapping[str, str], attempt: int) -> str:
    """Return the key of a run: equal batches at equal versions and attempts have equal keys."""
    lines = [f"{stem}\t{versions[stem]}" for stem in stems]
    return short_hash("\n".join([*lines, *([f"attempt {attempt}"] if attempt else [])]))
