"""How the Dagster instance is: its home, its storage, its daemon."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from atlaspatch_assets.lib.home import DEFAULT_HOME, VARIABLE
from atlaspatch_core.operations.doctor.values import DoctorFinding, fail, ok, warn

DAEMON = "dagster daemon"


def findings() -> Iterator[DoctorFinding]:
    """Yield what is found; no home is made for it."""
    named = os.environ.get(VARIABLE)
    home = Path(named or DEFAULT_HOME).expanduser().absolute()
    if not home.exists():
        yield _no_home(home, named)
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield _storage(instance, home, named)
            yield _daemon(instance)
    except Exception as error:  # whatever a storage, its driver or its configuration raises
        cause = " ".join(str(error).split())[:300] or repr(error)
        cure = f"correct {home / 'dagster.yaml'}, and see that its database can be reached"
        yield fail("dagster", f"the instance of {home} cannot be reached ({type(error).__name__}: {cause})", cure)


def _no_home(home: Path, named: str | None) -> DoctorFinding:
    if named:
        cure = "correct DAGSTER_HOME, or let the first 'atlaspatch materialize' make it"
        return warn("dagster", f"{VARIABLE} names {home}, which is not there", cure)
    return ok("dagster", f"{VARIABLE} is not set; the first 'atlaspatch materialize' makes {home}")


def _storage(instance: dg.DagsterInstance, home: Path, named: str | None) -> DoctorFinding:
    """Ask the storages of runs and of events."""
    runs = instance.get_runs_count()
    slides = len(instance.get_dynamic_partitions("slides"))
    which = "" if named else f" ({VARIABLE} is not set)"
    kind = type(instance.run_storage).__name__
    return ok("dagster", f"{home}{which}: {kind} answers, {runs:,} runs, {slides:,} slides")


def _daemon(instance: dg.DagsterInstance) -> DoctorFinding:
    """Ask for the heartbeats of the daemon."""
    statuses = instance.get_daemon_statuses()
    dead = sorted(kind for kind, status in statuses.items() if status.required and not status.healthy)
    if not dead:
        return ok(DAEMON, f"alive: {', '.join(sorted(statuses))}")
    cure = "start 'dagster dev' or 'dagster-daemon run' with this DAGSTER_HOME; commands of the shell need neither"
    return warn(DAEMON, f"no heartbeat of {', '.join(dead)}: sensors, schedules and queued runs wait", cure)
