"""The project of an output folder that has no project file: what its runs asked for, put together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.fingerprint import canonical_json
from atlaspatch_core.operations.tracking.runs import RunFile, read_runs
from atlaspatch_core.validity.given_weights import by_owner

ENCODERS = ("patch_encoders", "slide_encoders")
OF_FEATURES = (*ENCODERS, "precision", "downscale", "input_size")
"""What in a geometry decides features and not coords."""
OF_MASKS = ("masks", "masks_origin", "mask_values")
"""What of the slides decides supplied masks."""


@dataclass(frozen=True, slots=True)
class RecordedOptions:
    """What one run asked for."""

    project: Project
    values: Mapping[str, Any]
    """The project as JSON values."""
    stages: frozenset[str] | None
    """Kinds of steps that it took; None: all."""
    trusted_kinds: frozenset[str]
    """Kinds among them that it took as they lay there, whatever its project says of them."""

    def took(self, kind: str) -> bool:
        """Tell whether the run was about outputs of this kind."""
        return self.stages is None or kind in self.stages

    def decided(self, kind: str) -> bool:
        """Tell whether its project says how outputs of this kind are to be."""
        return self.took(kind) and kind not in self.trusted_kinds


@dataclass(frozen=True, slots=True)
class RememberedProject:
    """What the runs of a folder asked for together."""

    project: Project
    """With the settings and slides of the latest run, and the geometries and encoders of all."""
    searched: tuple[Project, ...]
    """One for each way in which slides were pointed at, by folders or by a table of cases, the latest first."""

    @property
    def tables(self) -> Mapping[Path, Project]:
        """Tables of cases, the latest first, each with the project of its latest run."""
        with_cases = [project for project in self.searched if project.patients.manifest]
        latest_last = {project.patients.manifest: project for project in reversed(with_cases)}
        return {table: latest_last[table] for project in with_cases if (table := project.patients.manifest)}

    def find_slides(self, in_table: Callable[[Path], Sequence[SlideSource]]) -> Discovery:
        """Return all slides that the runs pointed at and that are still there; of one stem, the latest run's.

        ``in_table`` returns the slides of a table of cases, or raises AtlasPatchError.
        """
        sources, clashes = {}, {}
        for project in self.searched:
            table = project.patients.manifest
            try:
                discovery = Discovery(tuple(in_table(table))) if table else find_slides(project)
            except AtlasPatchError:  # moved or removed since: what was made of them is in the folder
                continue
            sources = discovery.by_stem | sources
            clashes = {clash.stem: clash for clash in discovery.clashes} | clashes
        ordered = sorted(sources.values(), key=lambda source: str(source.path))
        return Discovery(tuple(ordered), tuple(clashes[stem] for stem in sorted(clashes.keys() - sources.keys())))


def remembered_project(output: Path) -> RememberedProject:
    """Return what the recorded runs of a folder asked for together.

    Each part is as the latest run that decided it says: tissue, coords and features may be of three runs. Earlier runs
    add slides, encoders of the same geometry, and geometries of other names: so a folder filled slide by slide, stage
    by stage, encoder by encoder or by tables of cases is one project. The folder may have been moved.
    Raises InvalidProject where no run is recorded, or none that this version understands.
    """
    runs = _runs_of_projects(output)
    if not runs:
        raise InvalidProject(
            f"{output}: no run of atlaspatch is recorded there (runs/*.json); name the project file with --project"
        )
    options = _distinct_options(runs)
    if not options:
        raise InvalidProject(f"{output}: its runs are of another version of atlaspatch; name the project file instead")
    latest, of_tissue = options[0].values, next((run for run in options if run.decided("tissue_mask")), options[0])
    geometries, patients = _with_patients(_geometries(options), options)
    slides = latest["slides"] | {name: of_tissue.values["slides"][name] for name in OF_MASKS}
    parts = {"output": str(output), "tissue": of_tissue.values["tissue"], "geometry": geometries, "patients": patients}
    parts |= {"slides": slides}
    ways = {_way(run): run.project for run in reversed(options)}
    project = make_project({**latest, **parts, **_encoder_files(options)}, origin=f"{output}/runs")
    return RememberedProject(project, tuple(ways.values())[::-1])


def deciding_project(output: Path, kind: str, geometry: str | None = None) -> Project | None:
    """Return the project of the latest run that decided outputs of a kind, of one geometry where that matters.

    None where no run is recorded that did, and that this version understands.
    """
    for options in _distinct_options(
        run for run in read_runs(output) if isinstance(run.values.get("project"), Mapping)
    ):
        names = [one.name for one in options.project.geometry]
        if options.decided(kind) and (kind == "tissue_mask" or names == [geometry]):
            return options.project
    return None


def _runs_of_projects(output: Path) -> list[RunFile]:
    return [run for run in read_runs(output) if isinstance(run.values.get("project"), Mapping)]


def _distinct_options(runs: Iterable[RunFile]) -> list[RecordedOptions]:
    """Return what runs asked for, the latest first; most runs of a folder are alike, and each kind is checked once."""
    options_by_text: dict[str, RecordedOptions | None] = {}
    for run in runs:
        values = run.values
        key = canonical_json([values["project"], values.get("stages"), values.get("settled_stages")])
        if key not in options_by_text:
            options_by_text[key] = _options_of(run)
    return [recorded for recorded in options_by_text.values() if recorded]


def _options_of(run: RunFile) -> RecordedOptions | None:
    """Return what a run asked for; None where this version does not understand it."""
    stages, trusted = run.values.get("stages"), run.values.get("settled_stages")
    try:
        project = make_project(dict(run.values["project"]), origin=str(run.path))
    except AtlasPatchError:
        return None
    kinds = None if stages is None else frozenset(stages)
    return RecordedOptions(project, project.model_dump(mode="json"), kinds, frozenset(trusted or ()))


def _geometries(options: Sequence[RecordedOptions]) -> list[dict[str, Any]]:
    """Return the geometries of which coords were asked for, those of the latest run first."""
    occurrences: dict[str, list[tuple[RecordedOptions, dict[str, Any]]]] = {}
    for run in options:
        for geometry in run.values["geometry"] if run.took("patch_coords") else ():
            occurrences.setdefault(geometry["name"], []).append((run, geometry))
    return [_geometry(named) for named in occurrences.values()]


def _geometry(occurrences: Sequence[tuple[RecordedOptions, dict[str, Any]]]) -> dict[str, Any]:
    """Return one geometry as its runs, the latest first, say it."""
    geometry_of_coords = next(
        (geometry for run, geometry in occurrences if run.decided("patch_coords")), occurrences[0][1]
    )
    of_features = [
        geometry
        for run, geometry in occurrences
        if run.decided("patch_features")
        and (not run.decided("patch_coords") or _is_same(geometry, geometry_of_coords, of_features=False))
    ]
    if not of_features:
        return geometry_of_coords | dict.fromkeys(ENCODERS, ())
    last = of_features[0]
    alike = [geometry for geometry in of_features if _is_same(geometry, last, of_features=True)]
    encoders = {key: list(dict.fromkeys(name for geometry in alike for name in geometry[key])) for key in ENCODERS}
    return geometry_of_coords | {key: last[key] for key in OF_FEATURES if key in last} | encoders


def _way(options: RecordedOptions) -> str:
    """Return where a run was told to find slides."""
    return canonical_json([options.values["slides"], options.values["patients"]["manifest"]])


def _with_patients(
    geometries: Sequence[dict[str, Any]], options: Sequence[RecordedOptions]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the geometries, and the patient encoders that ran on one of them as it is now, with the latest table.

    A patient encoder takes the first geometry that suits it, so that of the cases comes first.
    """
    runs = [run for run in options if run.values["patients"]["manifest"]]
    by_name = {geometry["name"]: geometry for geometry in geometries}
    fitting = [
        run
        for run in runs
        if all(_is_unchanged(geometry, by_name.get(geometry["name"])) for geometry in _geometries_of(run))
    ]
    encoders = dict.fromkeys(name for run in fitting for name in run.values["patients"]["encoders"])
    of_cases = {geometry["name"] for run in fitting for geometry in _geometries_of(run)}
    ordered = sorted(geometries, key=lambda geometry: geometry["name"] not in of_cases)
    table = runs[0].values["patients"]["manifest"] if runs else None
    return ordered, {"manifest": table, "encoders": list(encoders)}


def _geometries_of(options: RecordedOptions) -> Sequence[dict[str, Any]]:
    return options.values["geometry"]


def _is_unchanged(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Tell whether a geometry has the same coords and features as another, whatever the encoders."""
    return other is not None and all(_is_same(one, other, of_features=of_features) for of_features in (False, True))


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any], *, of_features: bool) -> bool:
    """Tell whether two geometries agree in what decides coords, or features, but for the names of encoders."""
    keys = {key for key in one if key not in ENCODERS and (key in OF_FEATURES) == of_features}
    return all(one[key] == other.get(key) for key in keys)


def _encoder_files(options: Sequence[RecordedOptions]) -> dict[str, Any]:
    """Return weights and plugins of all runs, the latest first: earlier encoders may need them."""
    weights = {name: path for run in reversed(options) for name, path in by_owner(run.values["weights"]).items()}
    plugins = list(dict.fromkeys(path for run in options for path in run.values["plugins"]))
    remote = list(dict.fromkeys(name for run in options for name in run.values["allow_remote_code"]))
    return {"weights": weights, "plugins": plugins, "allow_remote_code": remote}
