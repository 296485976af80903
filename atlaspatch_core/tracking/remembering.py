"""The project of an output folder that has no project file: what its runs asked for, put together."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.project import Project, make_project
from atlaspatch_core.tracking.runs import RunFile, read_runs

ENCODERS = ("patch_encoders", "slide_encoders")


def project_of_runs(output: Path) -> Project:
    """Return what the recorded runs of a folder asked for together.

    Settings are those of the latest run. Earlier runs add slides, encoders of the same geometry, and geometries of
    other names: so a folder filled slide by slide, or encoder by encoder, is one project. The folder may have been
    moved. Raises InvalidProject where no run is recorded.
    """
    wholes = [_values(run) for run in read_runs(output)]
    usable = [values for values in wholes if values]
    if not usable:
        raise InvalidProject(
            f"{output}: no run of atlaspatch is recorded there (runs/*.json); name the project file with --project"
        )
    latest = usable[0]
    slides = latest["slides"] | {"folders": _folders(usable)}
    whole = latest | {"output": str(output), "slides": slides, "geometry": _geometries(usable)}
    return make_project(whole | _encoder_files(usable), origin=f"{output}/runs")


def _values(run: RunFile) -> dict[str, Any] | None:
    """Return the project of a run as it was recorded; None where there is none that can be used."""
    values = run.values.get("project")
    if not isinstance(values, Mapping):
        return None
    try:
        return make_project(dict(values), origin=str(run.path)).model_dump(mode="json")
    except AtlasPatchError:
        return None


def _folders(projects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return all folders and slides that were named and are still there; all of them where none is."""
    named = list(dict.fromkeys(path for values in projects for path in values["slides"]["folders"]))
    return [path for path in named if Path(path).exists()] or named


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
