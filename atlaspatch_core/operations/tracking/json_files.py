"""Small JSON files that several processes change: under one lock, whole or not there, not synced to disk.

A power cut may lose the last ones; what they tell of is kept elsewhere.
"""

import json
import time
from collections.abc import Callable, Mapping
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


def lock_of(output: Path, name: str) -> FileLock:
    """Return a kernel lock: a run's, or that of those who tell of runs elsewhere.

    Raises UnwritableOutput where its folder cannot be made.
    """
    path = lock_path(output, name)
    make_folder(path.parent)
    return FileLock(path, thread_local=False)


def write_text(path: Path, text: str) -> None:
    """Write a file at once. To be called under the lock. Raises OSError."""
    while not _replace(path, text, lambda: True):
        pass


def change_text(path: Path, change: Callable[[str], str]) -> None:
    """Replace a text, an empty one where there is no file, by what ``change`` makes of it. Raises OSError.

    To be called under the lock. Where somebody wrote it meanwhile all the same, because this process was stopped and
    lost the lock, that text is changed.
    """
    while True:
        before = _version(path)
        text = path.read_text(encoding="utf-8", errors="replace") if before else ""
        if _replace(path, change(text), lambda before=before: _version(path) == before):
            return


def _replace(path: Path, text: str, is_due: Callable[[], bool]) -> bool:
    """Write a file at once if it still ``is_due``; return whether it was written.

    A draft of a process that was stopped for long may be gone: it counted as that of a killed one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{DRAFT}{uuid4().hex}.tmp")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")  # of names that are no UTF-8
        if not is_due():
            return False
        draft.replace(path)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


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
