"""The pools that keep runs from computing at the same time on one device, and from reading all slides at once."""

import dagster as dg

from atlaspatch_assets.dagster_internals import give_default_limits
from atlaspatch_core.config.sections import Runtime

POOL = "gpu"
"""Pool of the first device; ``dagster.yaml`` gives every pool one place unless it was set to more."""
SLIDE_IO = "slide_io"
"""Pool of runs that read many files and compute little, such as the audit."""


def pool_of(runtime: Runtime) -> str:
    """Return the pool of a project's device: ``gpu``, but ``gpu_1`` for ``cuda:1``: devices work side by side."""
    _, _, number = (runtime.feature_device or runtime.device).partition(":")
    return f"{POOL}_{number}" if number and number != "0" else POOL


def limit_pool(instance: dg.DagsterInstance, *pools: str) -> None:
    """Give the pools, ``gpu`` by default, their limit if they have none yet.

    Dagster does so itself when the first runs are dequeued, but too late for those: in a new home they would all start.
    A limit that somebody set stays as it is.
    """
    give_default_limits(instance, pools or (POOL,))
