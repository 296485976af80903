"""All state files of an output folder: read through a cache, written under the lock."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from atlaspatch_core.operations.tracking.json_files import read_json, remove_drafts, seconds_of, write_json
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock
from atlaspatch_core.operations.tracking.states import (
    State,
    described_slide,
    is_news,
    is_usable,
    new_state,
    record_outcome,
    state_path,
    update_outputs,
    write_summary,
)
from atlaspatch_core.operations.tracking.tasks import TASKS
from atlaspatch_core.storage.file_index import FileIndex, list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome

MOST_HELD = 64
"""States that are held in memory; far more than slides are on their way at once."""
KINDS = tuple(dict.fromkeys(TASKS.values()))
VERSION = 2


class TrackedSlide(NamedTuple):
    """A slide; several may lie in one file."""

    path: Path
    stem: str


@dataclass(slots=True)
class StateFolder:
    """The states of the slides of one run. What is written is read first, so that other processes lose nothing."""

    store: Store
    several: bool
    """Whether the project has several geometries."""
    states: dict[TrackedSlide, State] = field(default_factory=dict)
    """The states of slides, the one that was used last at the end."""
    changed: set[TrackedSlide] = field(default_factory=set)
    """Slides among them whose state was written by this run."""
    elsewhere: dict[str, list[Path]] = field(default_factory=dict)
    """Stem to the state files there are, listed once."""

    def open(self) -> None:
        """List what there is and remove what killed processes left. Raises OSError or UnwritableOutput."""
        folder = self.store.state("any").parent
        with hold_tracking_lock(self.store.output):
            remove_drafts(folder)
        paths_by_stem = defaultdict(list)
        for path in folder.glob("*__*.json"):
            paths_by_stem[path.stem.rpartition("__")[0]].append(path)
        self.elsewhere = dict(paths_by_stem)

    def record_outcome(self, path: Path, outcome: Outcome) -> None:
        """Note an outcome of the slide at ``path``; a file is written only for news. Raises OSError."""
        slide = TrackedSlide(path, outcome.stem)
        state_in_memory = self.states.pop(slide, None)
        state = state_in_memory or self._read(slide)
        is_moved = state_in_memory is None and bool(state["tasks"]) and not self._file(slide).exists()
        if is_moved or is_news(state, outcome, several=self.several):
            with hold_tracking_lock(self.store.output):
                state = self._read(slide)
                if is_news(state, outcome, several=self.several):
                    record_outcome(state, outcome, self.store, several=self.several)
                self._write(slide, state)
            self.changed.add(slide)
        self.states[slide] = state
        while len(self.states) > MOST_HELD:
            self._let_go(next(iter(self.states)))

    def close(self) -> None:
        """Look once more at the files of slides that were written: pictures come after results. Raises OSError."""
        for slide in list(self.states):
            self._let_go(slide)

    def _let_go(self, slide: TrackedSlide) -> None:
        del self.states[slide]
        if slide not in self.changed:
            return
        self.changed.discard(slide)
        with hold_tracking_lock(self.store.output):
            state = self._read(slide)
            if update_outputs(state):
                self._write(slide, state)

    def _file(self, slide: TrackedSlide) -> Path:
        return state_path(self.store.output, slide.path, slide.stem)

    def _read(self, slide: TrackedSlide) -> State:
        """Return the state of a slide; that of a slide of this name which lies there no more is its own."""
        state = read_json(self._file(slide)) or self._moved(slide)
        return state if is_usable(state) else new_state(*slide)

    def _moved(self, slide: TrackedSlide) -> State:
        for file in self.elsewhere.get(slide.stem, ()):
            state = read_json(file)
            if is_usable(state) and not Path(str(state["slide"].get("abs_path"))).exists():
                reader = state["slide"].get("reader_type")
                return state | {"slide": described_slide(*slide) | {"reader_type": reader}}
        return {}

    def _write(self, slide: TrackedSlide, state: State) -> None:
        write_summary(state)
        target = self._file(slide)
        write_json(target, state)
        for file in self.elsewhere.pop(slide.stem, ()):
            if file != target and not Path(str(read_json(file).get("slide", {}).get("abs_path"))).exists():
                file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class SlideState:
    """What the overview of a folder needs of a state file."""

    stem: str
    updated_at: str
    statuses: Mapping[str, str]
    """Task to its status."""
    errors: Mapping[str, str]
    """Step, as text, to the reason why the last attempt failed."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Step, as text, to how long the last attempt took, where it went well."""


def read_states(store: Store) -> dict[str, SlideState]:
    """Return stem to what its state file says, the latest where a slide has several. Untouched ones are not read."""
    cache = FileIndex(store.index("states"), _row, VERSION)
    files = list_files(store.state("any").parent, ".json")
    rows = cache.read_values(files, store.state)
    states = {name: SlideState(*row) for name, row in rows.items() if row}
    # a stamp is of a whole second
    names = sorted(states, key=lambda name: (seconds_of(states[name].updated_at), files[name].st_mtime_ns))
    return {states[name].stem: states[name] for name in names}


def _row(path: Path) -> list[Any] | None:
    state = read_json(path)
    if not is_usable(state):
        return None
    tasks = state["tasks"]
    errors = {
        str(task.get("step", "")): str(task.get("message") or "")
        for task in tasks.values()
        if task.get("status") == "error"
    }
    statuses = {name: str(task.get("status")) for name, task in tasks.items()}
    return [str(state["slide"].get("name")), str(state.get("updated_at")), statuses, errors, _seconds(tasks.values())]


def _seconds(tasks: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    last_attempts = ((task.get("step"), attempts[-1]) for task in tasks if (attempts := task["attempts"]))
    return {
        str(step): attempt["duration_s"]
        for step, attempt in last_attempts
        if isinstance(attempt, dict) and attempt.get("result") == "completed" and _is_number(attempt.get("duration_s"))
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def totals(states: Mapping[str, SlideState]) -> dict[str, Counter[str]]:
    """Return task to status to the number of slides."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for state in states.values():
        for task, status in state.statuses.items():
            counts[task][status] += 1
    return {task: counts[task] for task in sorted(counts, key=_place)}


def _place(task: str) -> tuple[int, str]:
    """Return what sorts tasks by the order in which they are taken; those of other tools are last."""
    kind = task.partition(":")[0]
    return (KINDS.index(kind) if kind in KINDS else len(KINDS), task)
