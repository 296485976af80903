"""What lies in an output folder, held against what made it: its project, or what its recorded runs asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.tracking.project_status import Failures, ProjectStatus, project_status
from atlaspatch_core.operations.tracking.remembered_project import remembered_project
from atlaspatch_core.pipeline.patients.manifest import Manifest, join_manifests, manifest_at
from atlaspatch_core.pipeline.patients.validity import case_states_in_files
from atlaspatch_core.validity.recipe import Recipe, make_recipe


@dataclass(frozen=True, slots=True)
class RecordedFolder:
    """What the runs of a folder, or its project, asked for."""

    recipe: Recipe
    discovery: Discovery
    """Slides that were pointed at, and that are still there."""
    tables: Mapping[Path, Manifest]
    """Tables of cases that can still be used."""
    unusable_tables: tuple[str, ...] = ()
    """Why other tables cannot be used, a sentence each."""

    @property
    def cases(self) -> Manifest | None:
        """The cases of all tables together; None where there are none."""
        return join_manifests(list(self.tables.values()), self.discovery.sources) if self.tables else None


def read_recorded_folder(output: Path) -> RecordedFolder:
    """Return what the runs of a folder asked for together, be the slides still there or not.

    Raises AtlasPatchError where no run is recorded, or what it names cannot be used any more.
    """
    memory = remembered_project(output)
    recipe = make_recipe(memory.project)
    tables, unusable = _tables(memory.tables)
    discovery = memory.find_slides(lambda path: tuple(tables[path].slides.values()) if path in tables else ())
    return RecordedFolder(recipe, discovery, tables, unusable)


def folder_of_project(recipe: Recipe) -> RecordedFolder:
    """Return the same of a project."""
    try:
        discovery = find_slides(recipe.project)
    except AtlasPatchError:  # moved or removed since: what was made of them is in the folder
        discovery = Discovery(())
    table = recipe.project.patients.manifest
    tables, unusable = _tables({table: recipe.project} if table else {})
    return RecordedFolder(recipe, discovery, tables, unusable)


def folder_status(folder: RecordedFolder) -> ProjectStatus:
    """Return the state of every output of slides and cases, also of slides that have results and are gone."""
    return with_cases(project_status(folder.recipe, folder.discovery, recorded=True), folder.cases, {})


def with_cases(status: ProjectStatus, cases: Manifest | None, failures: Failures) -> ProjectStatus:
    """Return the status with the states of these cases, where its project makes something of cases."""
    if cases is None or not status.recipe.cases:
        return status
    states = case_states_in_files(status.recipe, cases, status.outputs, failures)
    return replace(status, cases=tuple(state.validity for state in states))


def _tables(paths: Mapping[Path, Project]) -> tuple[dict[Path, Manifest], tuple[str, ...]]:
    """Return the tables of cases that can still be used, and why the others cannot."""
    tables, unusable = {}, []
    for path, project in paths.items():
        try:
            tables[path] = manifest_at(path, project)
        except AtlasPatchError as error:
            unusable.append(str(error))
    return tables, tuple(unusable)
