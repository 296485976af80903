"""Several projects in one Dagster instance: their slides, what sensors ask for, and what is recorded of each."""

from pathlib import Path
from typing import Any

import dagster as dg
from small_projects import paint, project

from atlaspatch_assets.cli.local_run import materialize
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

KIDNEY, LUNG = "kidney", "lung-2"
LABEL = {KIDNEY: "kidney__", LUNG: "lung__2__", None: ""}
"""Name of a project to what stands before its jobs, ops, sensors and schedules."""


def lab(folder: Path, name: str | None, *stems: str, **values) -> Project:
    """Return a project in a folder of its own, with slides of these stems."""
    place = folder / (name or "unnamed")
    place.mkdir(exist_ok=True)
    paint(place / "slides", *stems)
    return project(place, name=name, **values)


def make(of: Project, instance: dg.DagsterInstance, *stems: str) -> None:
    """Materialise slides through the command's own path."""
    assert list(materialize(of, stems, instance, force=False, show=lambda _: None)) == []


def carry_out(of: Project, instance: dg.DagsterInstance, found: Any) -> list[str]:
    """Run what a sensor asks for; return the jobs."""
    for request in found.run_requests:
        job = build_definitions(of).resolve_job_def(request.job_name)
        tags = {**request.tags, "dagster/run_key": request.run_key}
        result = job.execute_in_process(
            run_config=request.run_config,
            partition_key=request.partition_key,
            tags=tags,
            instance=instance,
            asset_selection=request.asset_selection,
        )
        assert result.success
    return [request.job_name for request in found.run_requests]


def sensor(of: Project, word: str) -> str:
    return f"{LABEL[of.name]}{word}"


def count(instance: dg.DagsterInstance, *key: str) -> int:
    """Return how often an asset was materialised."""
    return len(instance.fetch_materializations(dg.AssetKey(key), limit=100).records)


def states(of: Project, instance: dg.DagsterInstance) -> dict[str, set[State]]:
    found: dict[str, set[State]] = {}
    for validity in recorded_validities(make_recipe(of), instance):
        found.setdefault(validity.stem, set()).add(validity.state)
    return found
