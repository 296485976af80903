"""The pool that keeps runs from computing at the same time."""

import dagster as dg

POOL = "gpu"
"""Pool of the op; ``dagster.yaml`` gives every pool one place unless it was set to more."""


def limit_pool(instance: dg.DagsterInstance) -> None:
    """Give the pool its limit if it has none yet.

    Dagster does so itself when the first runs are dequeued, but too late for those: in a new home they would all start.
    A limit that somebody set stays as it is.
    """
    storage = instance.event_log_storage
    if storage.supports_global_concurrency_limits and POOL not in storage.get_concurrency_keys():
        storage.initialize_concurrency_limit_to_default(POOL)
