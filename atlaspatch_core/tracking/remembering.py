"""The project of an output folder that has no project file: what its runs asked for, put together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.discovery import Discovery, find_slides
from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.fingerprint import canonical_json
from atlaspatch_core.project import Project, make_project
from atlaspatch_core.tracking.runs import RunFile, read_runs

ENCODERS = ("patch_encoders", "slide_encoders")


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the runs of a folder asked for together."""

    project: Project
    """With the settings and slides of the latest run, and the geometries and encoders of all."""
    searched: tuple[Project, ...]
    """One for each way in which slides were pointed at, the latest first."""

    def find_slides(self) -> Discovery:
        """Return all slides that the runs pointed at and that are still there; of one stem, the latest run's."""
        sources, clashes = {}, {}
        for project in self.searched:
            try:
                found = find_slides(project)
            except AtlasPatchError:  # moved or removed since: what was made of them is in the folder
                continue
            sources = {it.stem: it for it in found.sources} | sources
            clashes = {it.stem: it for it in found.clashes} | clashes
        whole = sorted(sources.values(), key=lambda source: str(source.path))
        return Discovery(tuple(whole), tuple(clashes[stem] for stem in sorted(clashes.keys() - sources.keys())))


def remember(output: Path) -> Remembered:
    """Return what the recorded runs of a folder asked for together.

    Settings are those of the latest run. Earlier runs add slides, encoders of the same geometry, and geometries of
    other names: so a folder filled slide by slide, or encoder by encoder, is one project. The folder may have been
    moved. Raises InvalidProject where no run is recorded, or none that this version understands.
    """
    runs = [run for run in read_runs(output) if isinstance(run.values.get("project"), Mapping)]
    if not runs:
        raise InvalidProject(
            f"{output}: no run of atlaspatch is recorded there (runs/*.json); name the project file with --project"
        )
    # Runs of one folder are mostly alike: each distinct project is checked once.
    distinct = {canonical_json(run.values["project"]): run for run in runs[::-1]}
    latest_first = sorted(distinct.values(), key=lambda run: run.order, reverse=True)
    projects = [project for run in latest_first if (project := _project(run))]
    if not projects:
        raise InvalidProject(f"{output}: its runs are of another version of atlaspatch; name the project file instead")
    wholes = [project.model_dump(mode="json") for project in projects]
    together = wholes[0] | {"output": str(output), "geometry": _geometries(wholes)} | _encoder_files(wholes)
    ways = {
        canonical_json(whole["slides"]): project for whole, project in zip(wholes[::-1], projects[::-1], strict=True)
    }
    return Remembered(make_project(together, origin=f"{output}/runs"), tuple(ways.values())[::-1])


def _project(run: RunFile) -> Project | None:
    """Return the project of a run as it was recorded; None where this version does not understand it."""
    try:
        return make_project(dict(run.values["project"]), origin=str(run.path))
    except AtlasPatchError:
        return None


def _geometries(projects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for values in projects:
        for geometry in values["geometry"]:
            known = found.setdefault(geometry["name"], geometry)
            if _settings(known) == _settings(geometry):
                more = {key: list(dict.fromkeys([*known[key], *geometry[key]])) for key in ENCODERS}
                found[geometry["name"]] = known | more
    return list(found.values())


def _settings(geometry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in geometry.items() if name not in ENCODERS}


def _encoder_files(projects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return weights and plugins of all runs, the latest first: earlier encoders may need them."""
    weights = {name: path for values in reversed(projects) for name, path in values["weights"].items()}
    plugins = list(dict.fromkeys(path for values in projects for path in values["plugins"]))
    remote = list(dict.fromkeys(name for values in projects for name in values["allow_remote_code"]))
    return {"weights": weights, "plugins": plugins, "allow_remote_code": remote}
