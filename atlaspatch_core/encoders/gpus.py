"""Which GPU a process takes when it was told no number: one that no other process has taken."""

import os
import tempfile
from functools import cache
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

_HELD: list[BaseFileLock] = []
"""Locks of this process; the kernel lets go of them when it ends, however it ends."""


@cache
def free_gpu(count: int) -> int:
    """Return the number of a GPU, below ``count``, that no other process took by this function; the same every time.

    So runs that start side by side on one machine spread over its GPUs. Where all are taken, or no lock can be had,
    processes share them by turns.
    """
    for number in range(count):
        try:
            lock = FileLock(_lock_file(number))
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        _HELD.append(lock)
        return number
    return os.getpid() % count


def _lock_file(number: int) -> Path:
    """Return the lock of a GPU; CUDA_VISIBLE_DEVICES may give it another number in this process than in others."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = visible[number] if number < len(visible) and visible[number] else str(number)
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"atlaspatch-gpus-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{name.replace(os.sep, '_')}.lock"
