"""One file per slide, ``wsi_states/<stem>__<hash>.json``: what was tried for it, how it ended, and what lies there.

The layout is that of TRIDENT's state files, schema version 2; ``step`` and ``geometry`` of a task are ours.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from atlaspatch_core import __version__
from atlaspatch_core.operations.tracking.json_files import isoformat
from atlaspatch_core.operations.tracking.tasks import (
    NO_PATCHES,
    THERE,
    TaskOutcome,
    describe_file,
    task_files,
    task_name,
    task_outcomes,
)
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome

SCHEMA_VERSION = 2
MOST_ATTEMPTS = 50
"""Attempts of a task that are remembered, the latest: a slide that fails every night must not grow for ever."""

State = dict[str, Any]


def slide_hash(path: Path) -> str:
    """Return 12 hex digits of where a slide lies, not of what it is."""
    return hashlib.sha1(
        shown_path(path.absolute()).encode(errors="surrogateescape"), usedforsecurity=False
    ).hexdigest()[:12]


def state_path(output: Path, path: Path, stem: str | None = None) -> Path:
    """Return where the state of the slide at ``path`` lies; ``stem`` is that of one of several slides in the file."""
    return Store(output).state(f"{stem_of(path) if stem is None else stem}__{slide_hash(path)}")


def is_state_of(file: Path, stem: str) -> bool:
    """Tell whether a file in ``wsi_states`` is named as the state of a slide of this stem, wherever the slide lies."""
    return file.stem.rpartition("__")[0] == stem


def new_state(path: Path, stem: str) -> State:
    """Return the state of a slide of which nothing is known."""
    slide = described_slide(path, stem)
    return {"schema_version": SCHEMA_VERSION, "slide": slide, "meta": {}, "tasks": {}, "resume": {}}


def described_slide(path: Path, stem: str) -> dict[str, Any]:
    """Return who a slide is."""
    ext = path.name.removeprefix(stem_of(path))
    names = {"id": f"{stem}{ext}__{slide_hash(path)}", "name": stem, "ext": ext}
    return names | {"abs_path": shown_path(path.absolute()), "rel_path": None, "reader_type": None}


def is_usable(state: Mapping[str, Any]) -> bool:
    """Tell whether a state that was read has the parts that are built upon; others are begun anew."""
    parts = (state.get(name) for name in ("slide", "meta", "tasks", "resume"))
    whole = all(isinstance(part, dict) for part in parts) and state.get("schema_version") == SCHEMA_VERSION
    return whole and _is_error(state["resume"].get("last_error")) and all(map(_is_task, state["tasks"].values()))


def _is_task(task: Any) -> bool:
    if not (isinstance(task, dict) and isinstance(task.get("attempts"), list)):
        return False
    files = task.get("outputs")
    return isinstance(files, dict) and all(isinstance(file, dict) for file in files.values())


def _is_error(error: Any) -> bool:
    return error is None or isinstance(error, dict)


def is_news(state: State, outcome: Outcome, *, several: bool) -> bool:
    """Tell whether an outcome says what a state does not say yet."""
    if tasks := task_outcomes(outcome):
        task = state["tasks"].get(task_name(outcome.step, state["tasks"], several=several), {})
        return not _stands(task, tasks)
    before = _flat_meta(state)
    return any(before.get(name) != value for name, value in _facts_of(outcome).items())


def record_outcome(state: State, outcome: Outcome, store: Store, *, several: bool) -> None:
    """Write into a state what an outcome says."""
    if tasks := task_outcomes(outcome):
        _record_task(state, outcome, tasks, store, several=several)
        return
    facts = _facts_of(outcome)
    state["slide"]["reader_type"] = facts.pop("reader_type", state["slide"].get("reader_type"))
    state["meta"] |= {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


def _facts_of(outcome: Outcome) -> dict[str, Any]:
    """Return what is known of a slide that opened; what is not is left out, so that nothing is forgotten."""
    numbers, reader = outcome.numbers, outcome.facts.get("reader")
    names = {"mpp": "mpp", "magnification": "mag", "levels": "level_count"}
    facts: dict[str, Any] = {name: numbers[ours] for ours, name in names.items() if ours in numbers}
    facts |= {"dimensions": (numbers["width"], numbers["height"])} if "width" in numbers else {}
    return facts | ({"reader_type": reader} if reader else {})


def _flat_meta(state: State) -> dict[str, Any]:
    values = state["meta"] | {"reader_type": state["slide"].get("reader_type")}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _record_task(state: State, outcome: Outcome, task_outcome: TaskOutcome, store: Store, *, several: bool) -> None:
    name = task_name(outcome.step, state["tasks"], several=several)
    before, now = state["tasks"].get(name, {}), time.time()
    attempts = [*before.get("attempts", ()), *([_attempt(outcome, task_outcome, now)] if task_outcome.tried else [])]
    state["tasks"][name] = {
        "status": task_outcome.status,
        "reason": task_outcome.reason,
        "message": task_outcome.message,
        "_active_attempt_id": None,
        "attempts": attempts[-MOST_ATTEMPTS:],
        "outputs": {key: describe_file(path) for key, path in task_files(store, outcome.stem, outcome.step)},
        "step": str(outcome.step),
        "geometry": outcome.step.geometry,
    }
    state["resume"] = _resume(state["resume"], name, task_outcome, now)


def _stands(task: Mapping[str, Any], task_outcome: TaskOutcome) -> bool:
    """Tell whether the last word on a task holds.

    A valid output is one that an earlier attempt completed; a slide that cannot be opened says more than that its mask
    was skipped for it; and nothing tried for the same reason as before is no news.
    """
    if task_outcome.reason in THERE.values() and task.get("status") == "completed":
        return True
    if task_outcome.reason == "slide_failed" and task.get("status") == "error" and task.get("step") == "slide":
        return True
    same = (task.get("status"), task.get("reason"), task.get("message")) == (
        task_outcome.status,
        task_outcome.reason,
        task_outcome.message,
    )
    return same and not task_outcome.tried


def _attempt(outcome: Outcome, task_outcome: TaskOutcome, now: float) -> dict[str, Any]:
    started = now - outcome.seconds
    return {
        "attempt_id": uuid4().hex[:12],
        "started_at": isoformat(started),
        "started_epoch": started,
        "finished_at": isoformat(now),
        "finished_epoch": now,
        "duration_s": round(outcome.seconds, 6),
        "result": task_outcome.status,
        "error": task_outcome.message if task_outcome.status == "error" else None,
    }


def _resume(task: Mapping[str, Any], name: str, task_outcome: TaskOutcome, now: float) -> dict[str, Any]:
    """Return where the slide stands; an error is forgotten once its task went well."""
    error = task.get("last_error")
    if task_outcome.status == "error":
        values = {"task": name, "at": isoformat(now), "reason": task_outcome.reason, "message": task_outcome.message}
        error = {**values, "error": task_outcome.message}
    elif error and error.get("task") == name and is_done(task_outcome.status, task_outcome.reason):
        error = None
    last = {"last_task": name, "last_status": task_outcome.status, "last_updated_at": isoformat(now)}
    return last | ({"last_error": error} if error else {})


def is_done(status: str | None, reason: str | None) -> bool:
    """Tell whether the output of a task is there, or there is none to be made."""
    return status == "completed" or (status == "skipped" and reason in (*THERE.values(), NO_PATCHES))


def label(task: Mapping[str, Any]) -> str:
    """Return ``status``, or ``status (reason)``."""
    status, reason = task.get("status") or "unknown", task.get("reason")
    return f"{status} ({reason})" if reason else str(status)


def update_outputs(state: State) -> bool:
    """Look at the files of all tasks again; tell whether any changed."""
    changed = False
    for task in state["tasks"].values():
        outputs = {name: describe_file(Path(str(output.get("path")))) for name, output in task["outputs"].items()}
        changed |= outputs != task["outputs"]
        task["outputs"] = outputs
    return changed


def write_summary(state: State) -> None:
    """Write into a state its summary, its files as they are now, who wrote it and when."""
    update_outputs(state)
    summary: dict[str, Any] = {"patch_features": {}, "slide_features": {}}
    for name, task in state["tasks"].items():
        kind, _, rest = name.partition(":")
        if kind in ("patch_features", "slide_features"):
            summary[kind][rest] = label(task)
        else:
            summary[name] = label(task)
    for kind in ("segmentation", "coords"):
        scoped = [text for name, text in summary.items() if name.startswith(f"{kind}:")]
        summary.setdefault(kind, scoped[-1] if scoped else "not_started")
    versions = {"schema_version": SCHEMA_VERSION, "trident_version": None, "atlaspatch_version": __version__}
    state |= {**versions, "summary": summary, "updated_at": isoformat(time.time())}
