"""Whether what lies in an output folder may be used: as its project file or its runs say, else as its files say."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.config.fields import FILE_NAME
from atlaspatch_core.config.project import Project, load_project
from atlaspatch_core.consent import executing_nothing
from atlaspatch_core.errors import AtlasPatchError, InvalidProject, NoSlides
from atlaspatch_core.fingerprint import upstream_reason
from atlaspatch_core.interop.export.folder import select_folder
from atlaspatch_core.interop.export.selection import COORDS_KIND, Choice
from atlaspatch_core.interop.export.valid_results import Selection, Verdict
from atlaspatch_core.operations.tracking.folder_status import (
    RecordedFolder,
    folder_of_project,
    folder_status,
    read_recorded_folder,
)
from atlaspatch_core.operations.tracking.project_status import ProjectStatus
from atlaspatch_core.storage.schema import UNVERIFIED
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.rules import State

if TYPE_CHECKING:
    import pandas as pd


MISSING = Verdict(State.MISSING)
NO_TABLE = "no table of cases says of which slides it is to be"


@dataclass(frozen=True, slots=True)
class FolderStates:
    """What lies in an output folder, and the verdict on each result."""

    selection: Selection
    judged_by: str
    """What says how results are to be: the project file, the recorded runs, or the files alone."""
    case_verdicts: Mapping[tuple[str, OutputKey], Verdict]
    """Of embeddings of cases, by case_id and output; empty where nothing says what they are to be."""
    case_of: Mapping[str, tuple[str, ...]]
    """Stem to the cases that it belongs to, where a table of cases is known."""


def folder_states(output: Path, project: Path | Project | None) -> FolderStates:
    """Return the verdicts on all that lies in a folder. No plugin file is executed.

    Raises NoSlides where nothing lies there, InvalidProject for a project that is another folder's.
    """
    with executing_nothing():
        judged_by, recorded = _recorded(output, project)
        status = folder_status(recorded) if recorded else None
        try:
            selection = select_folder(output, Choice())
        except NoSlides:
            if status is None:
                raise
            selection = Selection(Store(output), read_slide_index(Store(output)), {})
    if recorded is None or status is None:
        return FolderStates(selection, judged_by, {}, {})
    merged = Selection(selection.store, selection.index, _merged(selection.verdicts, status))
    cases = {(case.stem, case.step): Verdict(case.state, case.why) for case in status.cases}
    return FolderStates(merged, judged_by, cases, recorded.cases.cases_by_slide() if recorded.cases else {})


def _recorded(output: Path, project: Path | Project | None) -> tuple[str, RecordedFolder | None]:
    """Return who says how results are to be, and what they asked for; None where only the files themselves tell."""
    if project is not None:
        loaded = project if isinstance(project, Project) else load_project(project)
        if loaded.output.resolve() != output.resolve():
            raise InvalidProject(f"{output}: the project's output is {loaded.output}; give that folder, or its project")
        return "the project", folder_of_project(make_recipe(loaded))
    if (path := _project_file(output)) is not None:
        return str(path), folder_of_project(make_recipe(load_project(path)))
    with suppress(AtlasPatchError):
        return "the runs that are recorded in the folder", read_recorded_folder(output)
    return "the files alone: no project file and no recorded run says how they are to be", None


def _project_file(folder: Path) -> Path | None:
    """Return the project file in a folder, or beside it, whose output it is."""
    for path in (folder / FILE_NAME, folder.resolve().parent / FILE_NAME):
        with suppress(AtlasPatchError):
            if path.is_file() and load_project(path).output.resolve() == folder.resolve():
                return path
    return None


def _merged(
    in_files: Mapping[str, Mapping[OutputKey, Verdict]], status: ProjectStatus
) -> dict[str, dict[OutputKey, Verdict]]:
    """Return the verdicts of the project, and those of the files on what it does not ask for, by slide."""
    verdicts: dict[str, dict[OutputKey, Verdict]] = {}
    for validity in status.outputs:
        verdicts.setdefault(validity.stem, {})[validity.step] = Verdict(validity.state, validity.why)
    for stem, of_files in in_files.items():
        of_project = verdicts.setdefault(stem, {})
        changed = {step.geometry for step, verdict in of_project.items() if _are_other_patches(step, verdict)}
        for step, verdict in of_files.items():
            stale = Verdict(State.STALE, upstream_reason(COORDS_KIND))
            of_project.setdefault(step, stale if step.geometry in changed and step.encoder else verdict)
    return verdicts


def _are_other_patches(step: OutputKey, verdict: Verdict) -> bool:
    return step.kind == COORDS_KIND and verdict.state != State.FRESH


def state_table(rows: Iterable[tuple[str, OutputKey, Verdict]]) -> "pd.DataFrame":
    """Return a row for each output of a slide or case: its state, and why."""
    import pandas as pd

    return pd.DataFrame(
        [(stem, s.geometry, s.kind, s.encoder or "", str(verdict.state), verdict.why) for stem, s, verdict in rows],
        columns=pd.Index(("stem", "geometry", "output", "encoder", "state", "why")),
    )


def refusal_of(verdict: Verdict, *, is_stored: bool, include_stale: bool) -> str:
    """Return in a clause why an output may not be used, empty where it may."""
    if not is_stored and verdict.state == State.FRESH:
        return "is not there, for the slide has no patches"
    if is_stored and (verdict.state == State.FRESH or include_stale):
        return ""
    state = UNVERIFIED if is_stored and verdict.state == State.MISSING else verdict.state
    return f"is {state}{f' ({verdict.why})' if verdict.why else ''}"
