"""Small JSON files that several processes change: under one lock, whole or not there, not synced to disk.

A power cut may lose the last ones; what they tell of is kept elsewhere.
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock

from atlaspatch_core.storage.atomic import make_folder
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json

DRAFT = ".tracking-"
"""How files that are being written are named."""
TIME = "%Y-%m-%dT%H:%M:%S%z"


def isoformat(epoch: float) -> str:
    """Return a time, seconds since 1970, as local time with its offset."""
    return time.strftime(TIME, time.localtime(epoch))


def seconds_of(stamp: str) -> float:
    """Return seconds since 1970 of a time with its offset, 0 of what is none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return 0.0


def lock_path(output: Path, name: str) -> Path:
    """Return where a lock of the tracking lies."""
    return Store(output).run_lock(name)


def lock_of(output: Path, name: str = "tracking") -> FileLock:
    """Return a kernel lock; without a name, the one under which all files of the tracking are written.

    Raises UnwritableOutput where its folder cannot be made.
    """
    path = lock_path(output, name)
    make_folder(path.parent)
    return FileLock(path, thread_local=False)


def write_text(path: Path, text: str) -> None:
    """Write a file at once. To be called under the lock. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{DRAFT}{uuid4().hex}.tmp")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")  # of names that are no UTF-8
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write values as JSON, keys sorted. To be called under the lock. Raises OSError."""
    write_text(path, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is none, or none that can be read."""
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes left. To be called under the lock: nobody else writes then. Raises OSError."""
    for draft in folder.glob(f"{DRAFT}*.tmp"):
        draft.unlink(missing_ok=True)
