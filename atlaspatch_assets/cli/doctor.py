"""How the Dagster instance is: its home, its storage, its daemon."""

import os
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Protocol, runtime_checkable

import dagster as dg
from packaging.version import Version

from atlaspatch_assets.dagster_internals import storage_kind
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.dead_runs import dead_runs
from atlaspatch_assets.lib.home import DEFAULT_HOME, VARIABLE
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.run_executor import locked_jobs
from atlaspatch_core.config.project import Project
from atlaspatch_core.operations.doctor.values import DoctorFinding, fail, ok, warn
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import TISSUE_MASK

DAEMON = "dagster daemon"
MOST_RUNS = 5
"""Runs that are named."""
REPOSITORY = "https://github.com/dagster-io/dagster"
LATEST = 100
"""Events that are looked at for those of another project."""


@runtime_checkable
class HasBroker(Protocol):
    """A launcher that gives runs to workers by way of a broker."""

    def broker_fault(self) -> str | None:
        """Return why the broker cannot be reached; None where it answers."""
        ...


def dagster_findings(project: Project | None = None) -> Iterator[DoctorFinding]:
    """Yield what is found, of the instance and of what it knows of a project; no home is made for it."""
    yield from mixed_versions(_installed_versions())
    named = os.environ.get(VARIABLE)
    home = Path(named or DEFAULT_HOME).expanduser().absolute()
    if not home.exists():
        yield _home_finding(home, named)
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            names = ProjectNames.of(project) if project else ProjectNames()
            yield _storage_finding(names, instance, home, named)
            if project:
                yield from _name_findings(names, instance, project.output)
            yield _daemon_finding(instance)
            yield from _broker_findings(instance)
            yield from _run_findings(instance, project)
    except Exception as error:  # whatever a storage, its driver or its configuration raises
        cause = " ".join(str(error).split())[:300] or repr(error)
        cure = f"correct {home / 'dagster.yaml'}, and see that its database can be reached"
        yield fail("dagster", f"the instance of {home} cannot be reached ({type(error).__name__}: {cause})", cure)


def mixed_versions(installed: Mapping[str, str]) -> Iterator[DoctorFinding]:
    """Yield a failure where not all of Dagster that is installed is of one version; ``installed``: package to version.

    Its libraries count from 0.16 on where the core counts from 1.0 on: 0.29.27 belongs to 1.13.27.
    """
    if len({text if text.startswith("1.") else _core_version(text) for text in installed.values()}) > 1:
        shown = ", ".join(f"{name} {installed[name]}" for name in sorted(installed))
        core = installed["dagster"]
        cure = f"install one version of all: pip install 'dagster=={core}' 'dagster-webserver=={core}' ..."
        yield fail("dagster version", f"its packages are of different versions: {shown}", cure)


def _core_version(library: str) -> str:
    """Return the version of the core that a library of version 0.N.M belongs to."""
    parsed = Version(library)
    return f"1.{parsed.minor - 16}.{parsed.micro}" if parsed.major == 0 and parsed.minor > 16 else library


def _installed_versions() -> dict[str, str]:
    """Return the packages of Dagster's own repository that are installed, with their versions."""
    packages = {package.metadata["Name"]: package for package in distributions()}
    return {name: package.version for name, package in packages.items() if _is_of_dagster(package)}


def _is_of_dagster(package: Distribution) -> bool:
    """Tell by its links whether a package comes from there; others of that name have versions of their own."""
    fields = [text for name in ("Home-page", "Project-URL") for text in package.metadata.get_all(name) or []]
    links = [text.rpartition(", ")[2] for text in fields]
    return any(f"{link}/".startswith(f"{REPOSITORY}/") for link in links)


def _home_finding(home: Path, named: str | None) -> DoctorFinding:
    if named:
        cure = "correct DAGSTER_HOME, or let the first 'atlaspatch materialize' make it"
        return warn("dagster", f"{VARIABLE} names {home}, which is not there", cure)
    return ok("dagster", f"{VARIABLE} is not set; the first 'atlaspatch materialize' makes {home}")


def _storage_finding(names: ProjectNames, instance: dg.DagsterInstance, home: Path, named: str | None) -> DoctorFinding:
    """Ask the storages of runs and of events."""
    runs = instance.get_runs_count()
    slides = len(names.slides.keys(instance))
    which = "" if named else f" ({VARIABLE} is not set)"
    kind = storage_kind(instance)
    return ok("dagster", f"{home}{which}: {kind} answers, {runs:,} runs, {slides:,} slides")


def _name_findings(names: ProjectNames, instance: dg.DagsterInstance, output: Path) -> Iterator[DoctorFinding]:
    """Yield a warning where latest events of this project's assets are about files of another output folder."""
    records = instance.fetch_materializations(names.asset_key(TISSUE_MASK), limit=LATEST).records
    events = [record.asset_materialization for record in records if record.asset_materialization]
    paths = [Path(str(event.metadata["path"].value)) for event in events if "path" in event.metadata]
    own = Store(output).geojson("any").parent.resolve()
    if others := [path.parent.parent for path in paths if path.parent.resolve() != own]:
        text = f"{len(others)} of the latest {len(paths)} tissue masks recorded under the same names lie in {others[0]}"
        cure = "give each project of an instance a name; after a move of the output, run 'atlaspatch materialize'"
        yield warn("dagster names", text, cure)


def _daemon_finding(instance: dg.DagsterInstance) -> DoctorFinding:
    """Ask for the heartbeats of the daemon."""
    statuses = instance.get_daemon_statuses()
    dead = sorted(kind for kind, status in statuses.items() if status.required and not status.healthy)
    if not dead:
        return ok(DAEMON, f"alive: {', '.join(sorted(statuses))}")
    cure = "start 'atlaspatch up' or 'dagster-daemon run' with this DAGSTER_HOME; commands of the shell need neither"
    return warn(DAEMON, f"no heartbeat of {', '.join(dead)}: sensors, schedules and queued runs wait", cure)


def _broker_findings(instance: dg.DagsterInstance) -> Iterator[DoctorFinding]:
    """Yield a failure where runs are tasks of Celery's workers, and nobody answers where they would wait for these."""
    launcher = instance.run_launcher
    if isinstance(launcher, HasBroker) and (fault := launcher.broker_fault()):
        cure = "start Redis, and see that ATLASPATCH_BROKER names it; runs that wait are launched then"
        yield fail("celery", f"the broker of the workers does not answer: {fault}", cure)


def _run_findings(instance: dg.DagsterInstance, project: Project | None) -> Iterator[DoctorFinding]:
    """Yield a warning where runs have no process any more."""
    jobs = locked_jobs(build_definitions(project).get_repository_def()) if project else ()
    if dead := dead_runs(instance, jobs):
        shown = ", ".join(f"{run.run_id} ({run.job_name})" for run in dead[:MOST_RUNS])
        text = f"{len(dead)} runs are {dead[0].status} and their processes are gone: {shown}"
        yield warn("dagster runs", text, "end them: atlaspatch end-dead-runs; the daemon does so within a minute")
