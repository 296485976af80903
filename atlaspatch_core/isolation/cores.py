"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Return how many cores this process may use; a scheduler or a container may grant fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_threads() -> int:
    """Return with how many threads to compute: as ``OMP_NUM_THREADS`` says, or one per core."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(stated) if stated.isdecimal() and int(stated) else usable_cores()
