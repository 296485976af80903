"""Batches: which slides share a run, and how a run is told about them."""

from collections.abc import Iterator, Sequence
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


def batch_request(stems: Sequence[str]) -> dg.RunRequest:
    """Return the request for one run over these slides, which need not be neighbours.

    Dagster's own ranges cover neighbours only, so one slide stands for the run and the configuration lists them all.
    Equal batches have equal run keys: a batch that was asked for once is not asked for again.
    """
    key = sha256("\n".join(stems).encode()).hexdigest()[:16]
    return dg.RunRequest(run_key=key, partition_key=stems[0], run_config=batch_config(stems))
