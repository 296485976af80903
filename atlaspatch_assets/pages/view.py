"""What the pages show, read when it is asked for: the output folder, and what Dagster knows of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.report.assets import failures
from atlaspatch_assets.defs.validity.needs import CURES, project_needs
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_runs import busy_keys, owns_run, unfinished_runs
from atlaspatch_core.discovery.cohorts import stems_of_cohorts
from atlaspatch_core.discovery.find import find_slides_if_any
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.operations.report.needs import Need, NeedKind, find_needs
from atlaspatch_core.operations.tracking.project_status import ProjectStatus, project_status
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.validity.recipe import Recipe

SECONDS_HELD = 5.0
"""Age up to which one reading serves several requests: of 100,000 slides it takes seconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A project at one moment."""

    status: ProjectStatus
    discovery: Discovery
    busy: Collection[str]
    """Stems and case_ids of runs that have not ended."""
    needs: Sequence[Need]
    """What needs a person, the gravest first."""
    runs: Mapping[str, int]
    """Name of a status to the number of the project's runs in it, of those that have not ended."""
    notes: Sequence[str]
    """What holds everything up, in sentences."""
    read_at: float
    """Seconds since the epoch."""


def no_notes() -> Sequence[str]:
    """Return that nothing holds everything up."""
    return ()


@dataclass(slots=True)
class ProjectView:
    """Reads a project anew unless that was done a moment ago; requests at one time share one reading."""

    recipe: Recipe
    instance: dg.DagsterInstance
    notes: Callable[[], Sequence[str]] = no_notes
    """Returns what holds everything up: a daemon without a heartbeat, storage that does not answer."""
    seconds_held: float = SECONDS_HELD
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _latest: Snapshot | None = None

    def read(self) -> Snapshot:
        """Return the project as it is now, or was ``seconds_held`` ago at most. Raises AtlasPatchError."""
        with self._lock:
            if self._latest is None or time.time() - self._latest.read_at > self.seconds_held:
                self._latest = read_snapshot(self.recipe, self.instance, self.notes())
            return self._latest


def read_snapshot(recipe: Recipe, instance: dg.DagsterInstance, notes: Sequence[str] = ()) -> Snapshot:
    """Return a project as it is now. Raises AtlasPatchError where its folders or tables cannot be used."""
    names, read_at = ProjectNames.of(recipe.project), time.time()
    discovery = find_slides_if_any(recipe.project)
    if recipe.project.slides.has_pseudonyms:
        notes = (*notes, *(entry.why for entry in discovery.left_out))
    status = project_status(recipe, discovery, failures(recipe, instance), recorded=True)
    status = replace(status, cases=tuple(case_validities(recipe, instance, status.outputs)))
    unfinished = unfinished_runs(instance)
    busy = busy_keys(names.slides, instance, unfinished) | busy_keys(names.cases, instance, unfinished)
    needs = project_needs(names, instance, (*status.outputs, *status.cases), status.warnings, busy)
    runs = Counter(run.status.value for run in unfinished if owns_run(names, run))
    return Snapshot(status, discovery, busy, needs, runs, notes, read_at)


def of_cohorts(snapshot: Snapshot, cohorts: Sequence[str]) -> Snapshot:
    """Return what is of these cohorts, all for none, and the runs that hold everything up.

    Raises UnknownName for a cohort that no slide is of, InvalidManifest for a table of cases that cannot be read.
    """
    if not cohorts:
        return snapshot
    stems, whole = stems_of_cohorts(snapshot.discovery.cohorts, cohorts), snapshot.status
    case_ids = manifest_of(whole.recipe.project).cases_with(stems) if whole.cases else frozenset[str]()
    status = whole.of(stems, case_ids)
    stuck = [need for need in snapshot.needs if need.kind is NeedKind.STUCK]
    needs = find_needs((*status.outputs, *status.cases), status.warnings, CURES, busy=snapshot.busy)
    return replace(snapshot, status=status, needs=(*stuck, *needs), busy=(stems | case_ids).intersection(snapshot.busy))
