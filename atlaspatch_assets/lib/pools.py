"""The pools that keep runs from computing at the same time on one device, and from reading all slides at once."""

import json
import os

import dagster as dg

from atlaspatch_assets.dagster_internals import give_default_limits
from atlaspatch_core.config.sections import Runtime
from atlaspatch_core.errors import InvalidProject

POOL = "gpu"
"""Pool of the first device; ``dagster.yaml`` gives every pool one place unless it was set to more."""
SLIDE_IO = "slide_io"
"""Pool of runs that copy many files, such as exports; of no asset or check: no run that computes stands in it."""

CPU_TAGS_VARIABLE = "ATLASPATCH_CPU_RUN_TAGS"
"""JSON of the tags by which a launcher that gives every run a GPU gives none. A deployment sets it: no project file
names a cluster. Not the other way round: runs that the web UI launches over assets are of no job, and have no tags."""


def pool_of(runtime: Runtime) -> str:
    """Return the pool of a project's device: ``gpu``, but ``gpu_1`` for ``cuda:1``: devices work side by side."""
    _, _, number = (runtime.feature_device or runtime.device).partition(":")
    return f"{POOL}_{number}" if number and number != "0" else POOL


def computes_on_gpu(runtime: Runtime) -> bool:
    """Tell whether runs that compute take a GPU, where there is one."""
    return any(name.startswith(("auto", "cuda")) for name in runtime.devices)


def cpu_tags() -> dict[str, str]:
    """Return the tags of runs that compute on no GPU; none where nobody stated any.

    Raises InvalidProject where the variable is no JSON object.
    """
    stated = os.environ.get(CPU_TAGS_VARIABLE)
    if not stated:
        return {}
    try:
        tags = json.loads(stated)
    except json.JSONDecodeError:
        tags = None
    if not isinstance(tags, dict):
        raise InvalidProject(f'{CPU_TAGS_VARIABLE} is {stated!r}; it must be a JSON object such as {{"tag": "value"}}')
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in tags.items()}


def computes_on_device(pool: str) -> bool:
    """Tell whether a pool is one of those that ``pool_of`` returns."""
    return pool == POOL or pool.startswith(f"{POOL}_")


def limit_pool(instance: dg.DagsterInstance, *pools: str) -> None:
    """Give the pools, ``gpu`` by default, their limit if they have none yet.

    Dagster does so itself when the first runs are dequeued, but too late for those: in a new home they would all start.
    A limit that somebody set stays as it is.
    """
    give_default_limits(instance, pools or (POOL,))
