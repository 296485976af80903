"""How fast each step of a project went: measured on purpose, or seen in earlier runs."""

import json
import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from atlaspatch_core.operations.tracking.json_files import read_json
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.stored import read_results

VERSION = 1
MEASURED = "measured in earlier runs"
LATEST = 50
"""Slides whose runs are looked at."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a step goes."""

    per_second: float
    """Patches, for features; slides, for all other steps."""
    source: str = MEASURED


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on purpose, on a few slides of a project."""

    per_second: Mapping[str, float] = field(default_factory=dict)
    """Step, as text, to patches per second for features, and to slides per second for all others."""
    patches: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Geometry to stem to the number of patches."""
    machine: str = field(default_factory=platform.node)
    device: str = ""
    """Of the patch encoders, as the project names it."""
    at: str = ""
    """When, UTC, ISO 8601."""
    decided_by: str = ""
    """Hash of what decides the patches of a slide: of other geometries and masks the counts say nothing."""

    @property
    def rates(self) -> dict[str, Rate]:
        """Return step, as text, to its rate."""
        source = f"measured on {self.machine} ({self.device}) on {self.at[:10]}"
        return {step: Rate(per_second, source) for step, per_second in self.per_second.items()}


def rates_file(output: Path) -> Path:
    """Return where measures are kept; like all of that folder it may be deleted at any time."""
    return Store(output).index("rates")


def keep_measured(output: Path, measured: Measured) -> None:
    """Remember measures in an output folder, in place of earlier ones. Raises UnwritableOutput."""
    path = rates_file(output)
    with slide_lock(output, f".{path.stem}"), replacing(path) as temporary:
        temporary.write_text(json.dumps({"version": VERSION} | asdict(measured), indent=1))


def read_measured(output: Path, device: str) -> Measured | None:
    """Return what was measured in an output folder on a device of that name; None where nothing was."""
    try:
        values = parse_json(rates_file(output).read_bytes())
        if values.pop("version") != VERSION or values["device"] != device:
            return None
        return Measured(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def device_of(recipe: Recipe) -> str:
    """Return the device of the patch encoders, as the project names it."""
    runtime = recipe.project.runtime
    return runtime.feature_device or runtime.device


def rates_of_runs(recipe: Recipe) -> dict[OutputKey, Rate]:
    """Return how fast each step went in the latest runs that completed it, by the states of the slides."""
    store = Store(recipe.project.output)
    seconds: defaultdict[str, float] = defaultdict(float)
    amount: defaultdict[str, float] = defaultdict(float)
    patches = _patch_counts(recipe, store)
    for stem, step, duration in _attempts(store):
        of_features = "patch_features" in step.split("/")
        done = patches.get((step, stem), 0) if of_features else 1
        if done:
            seconds[step] += duration
            amount[step] += done
    steps = {str(stage.step): stage.step for stage in recipe.stages}
    return {steps[name]: Rate(amount[name] / total) for name, total in seconds.items() if name in steps and total > 0}


def _patch_counts(recipe: Recipe, store: Store) -> dict[tuple[str, str], int]:
    """Return (features step, stem) to the number of patches in the slide's file."""
    counts = {}
    for geometry in recipe.project.geometry:
        results = read_results(store, geometry.name)
        for stage in recipe.stages_of("patch_features", geometry):
            for stem, datasets in results.items():
                if COORDS in datasets:
                    counts[str(stage.step), stem] = datasets[COORDS][1]
    return counts


def _attempts(store: Store) -> Iterator[tuple[str, str, float]]:
    """Yield stem, step and seconds of what the latest runs completed."""
    files = [(path.stat().st_mtime, path) for path in store.state("any").parent.glob("*.json")]
    for _, path in sorted(files, reverse=True)[:LATEST]:
        state = read_json(path)
        for task in _tasks(state):
            last = (task.get("attempts") or [{}])[-1]
            if last.get("result") == "completed" and isinstance(last.get("duration_s"), int | float):
                yield str(state["slide"].get("name")), str(task.get("step", "")), float(last["duration_s"])


def _tasks(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tasks = state.get("tasks")
    is_whole = isinstance(tasks, dict) and isinstance(state.get("slide"), dict)
    return [task for task in tasks.values() if isinstance(task, dict)] if is_whole and tasks else []
