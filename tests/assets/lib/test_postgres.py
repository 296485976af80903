"""The instance on Postgres, against a real server that the test starts."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from paths import ROOT
from small_projects import break_slide, failed_slides, paint, project, run, said

from atlaspatch_assets.dagster_internals import VerdictRecorder, storage_kind
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.audit.checks import recorded_versions
from atlaspatch_assets.defs.audit.jobs import OP_NAME
from atlaspatch_assets.defs.slides.arrival import scan_project
from atlaspatch_assets.defs.slides.refusals import failed_slides as failed_slides_in_dagster
from atlaspatch_assets.defs.slides.refusals import refusal_verdict
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.discovery.arrival import ArrivalCursor
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe

DEPLOY = ROOT / "deploy"


def binary(name: str) -> str | None:
    """Return where a program of Postgres lies; Debian keeps the servers' out of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


def server_user() -> str | None:
    """Return whom the server runs as: it refuses to run as root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres" if "postgres" in [user.pw_name for user in pwd.getpwall()] else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """Start a server on a free port, and return how Dagster reaches it."""
    pytest.importorskip("dagster_postgres", reason="pip install 'atlaspatch[postgres]' for this test")
    initdb, pg_ctl, user = binary("initdb"), binary("pg_ctl"), server_user()
    if initdb is None or pg_ctl is None or user is None:
        pytest.skip("no Postgres server is installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="atlaspatch-postgres-"))
    port = str(free_port())
    try:
        shutil.chown(folder, user)
        as_user = {
            "user": user if not os.geteuid() else None,
            "check": True,
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
        }
        subprocess.run([initdb, "-D", folder / "data", "-U", "dagster", "-A", "trust", "--no-sync"], **as_user)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        subprocess.run(
            [pg_ctl, "-D", folder / "data", "-w", "-t", "600", "-l", folder / "log", "-o", options, "start"], **as_user
        )
        try:
            reach = {"HOST": "127.0.0.1", "PORT": port, "USERNAME": "dagster", "PASSWORD": "unused", "DB": "postgres"}
            yield {f"DAGSTER_PG_{name}": value for name, value in reach.items()}
        finally:
            subprocess.run([pg_ctl, "-D", folder / "data", "-w", "-t", "600", "-m", "immediate", "stop"], **as_user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def instance(server, tmp_path, monkeypatch):
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    shutil.copy(DEPLOY / "dagster.postgres.yaml", tmp_path / "home" / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        yield instance


def test_slides_arrive_run_fail_by_name_and_are_audited_on_postgres(tmp_path, instance):
    paint(tmp_path / "slides", "first", "second")
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path)

    tick = scan_project(of, instance, find_slides(of), ArrivalCursor(), seconds_at_rest=0)
    result = run(of, instance, ["first", "broken", "second"])
    again = scan_project(of, instance, find_slides(of), ArrivalCursor(), seconds_at_rest=0)
    for why in ("once", "twice"):
        VerdictRecorder(instance).record([refusal_verdict(ProjectNames(), "broken", why)])
    job = build_definitions(of).resolve_job_def("audit")
    audit = job.execute_in_process(instance=instance, run_config={"ops": {OP_NAME: {"config": {"share": 1.0}}}})

    assert storage_kind(instance) == "PostgresRunStorage"
    assert [arrival.stem for arrival in tick.ready] == ["first", "second"]
    assert [arrival.stem for arrival in tick.refused] == ["broken"]
    assert list(failed_slides(result)) == ["broken"]
    assert said(instance, "patch_coords", "first")["patches"] == 4
    assert again.ready == ()
    assert failed_slides_in_dagster(ProjectNames(), instance) == {"broken"}
    assert sorted(recorded_versions(make_recipe(of), instance)) == ["first", "second"]
    assert recorded_versions(make_recipe(of), instance)["first"].keys() == {
        OutputKey("slide"),
        OutputKey("tissue_mask"),
        OutputKey("patch_coords"),
    }
    assert all(check.passed for check in audit.get_asset_check_evaluations())


def test_both_variants_of_the_settings_differ_in_storage_alone():
    ours = yaml.safe_load((DEPLOY.parent / "atlaspatch_assets" / "dagster.yaml").read_text())
    postgres = yaml.safe_load((DEPLOY / "dagster.postgres.yaml").read_text())

    assert postgres.keys() - ours.keys() == {"storage"}
    assert {name: value for name, value in postgres.items() if name != "storage"} == ours
