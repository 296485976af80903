"""Runs over slides that came or changed: asked for once, and again where a run ended before it saw to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import dagster as dg

from atlaspatch_assets.lib.batches import cohort_batches
from atlaspatch_assets.lib.names import PartitionKind, cohort_tags
from atlaspatch_assets.lib.vain_runs import next_attempt
from atlaspatch_core.fingerprint import short_hash

TAGS = {"atlaspatch/source": "new_slides"}


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
    """
    runs = RequestedRuns()
    for batch in cohort_batches(versions, cohorts, slides_per_run):
        tags = TAGS | cohort_tags(cohorts.get(stem, "") for stem in batch)
        build = partial(_build_request, slides, batch, versions, tags)
        request = next_attempt(instance, build, now).request
        if request is None:
            runs.put_off += batch
        else:
            runs.requests.append(request)
    return runs


def _build_request(
    slides: PartitionKind, stems: Sequence[str], versions: Mapping[str, str], tags: Mapping[str, str], attempt: int
) -> dg.RunRequest:
    return slides.request(stems, _run_key(stems, versions, attempt), tags=tags)


def _run_key(stems: Sequence[str], versions: Mapping[str, str], attempt: int) -> str:
    """Return the key of a run: equal batches at equal versions and attempts have equal keys."""
    lines = [f"{stem}\t{versions[stem]}" for stem in stems]
    return short_hash("\n".join([*lines, *([f"attempt {attempt}"] if attempt else [])]))
