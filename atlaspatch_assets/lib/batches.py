"""Batches: which slides share a run, and how a run is told about them."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import dagster as dg

OP_NAME = "slides_to_embeddings"
"""Name of the one op that takes slides through all assets; the key of its run configuration."""


def in_batches(stems: Sequence[str], size: int) -> Iterator[list[str]]:
    """Yield the stems in order, at most ``size`` at a time."""
    for start in range(0, len(stems), size):
        yield list(stems[start : start + size])


def batch_config(stems: Sequence[str], *, force: bool = False) -> dict[str, Any]:
    """Return the run configuration of a batch."""
    return {"ops": {OP_NAME: {"config": {"slides": list(stems), "force": force}}}}


def batch_request(
    stems: Sequence[str],
    versions: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    attempt: int = 0,
) -> dg.RunRequest:
    """Return the request for one run over these slides, which need not be neighbours.

    Dagster's own ranges cover neighbours only, so one slide stands for the run and the configuration lists them all.
    Equal batches at equal ``versions`` (stem to what changes with the slide) have equal run keys: a batch that was
    asked for once is not asked for again, but as another ``attempt``.
    """
    versions = versions or {}
    lines = "\n".join(f"{stem}\t{versions[stem]}" if stem in versions else stem for stem in stems)
    lines += f"\nattempt {attempt}" if attempt else ""
    key = sha256(lines.encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=key, partition_key=stems[0], run_config=batch_config(stems), tags=dict(tags or {}))


def slides_of_run(run: dg.DagsterRun) -> set[str]:
    """Return the slides that a run of ours lists, and the one that stands for it."""
    config: Any = run.run_config
    listed = config.get("ops", {}).get(OP_NAME, {}).get("config", {}).get("slides", [])
    anchor = run.tags.get("dagster/partition")
    return {*listed, *([anchor] if anchor else [])}
