"""``atlaspatch up``: a real start in a fresh home and a folder that holds a project file alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from processes import ATLASPATCH
from project_files import project_text
from server import DagsterDev, free_port
from waiting import until

from atlaspatch_assets.cli.main import cli

pytestmark = pytest.mark.e2e
PROJECT = project_text()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[DagsterDev]:
    (tmp_path / "slides").mkdir()
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    started = DagsterDev(tmp_path / "home", tmp_path / "atlaspatch.toml")
    with started:
        yield started


def second_start(up: DagsterDev) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ATLASPATCH, "up", "--port", str(free_port()), "--no-pages"]
    return subprocess.run(command, cwd=up.home.parent, env=up.environment, capture_output=True, text=True)


def test_one_command_starts_all_with_settings_and_a_signal_ends_all(up):
    answered = up.ask("{ version shouldShowNux instance { daemonHealth { allDaemonStatuses { daemonType } } } }")
    assert answered["shouldShowNux"] is False
    with dg.DagsterInstance.from_config(str(up.home)) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        until("the daemon beats", lambda: all(it.healthy for it in instance.get_daemon_statuses().values()), pause=0.5)

    refused = second_start(up)
    assert refused.returncode == 1
    assert f"{up.home}: its Dagster is up already (process {up.process.pid}, {up.url})" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    until("it says where it is", lambda: f"{up.url} is the web UI" in up.log.read_text())
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait() == 0
    until("nothing is left", lambda: not up.groups())


def test_a_part_that_dies_is_named_and_ends_the_others(up):
    (daemon,) = (group for group in up.groups() if b"dagster-daemon" in Path(f"/proc/{group}/cmdline").read_bytes())
    os.kill(daemon, signal.SIGKILL)

    assert up.process.wait() == 1
    until("nothing is left", lambda: not up.groups())
    assert "dagster-daemon ended by itself (exit code -9); all of it was stopped" in up.log.read_text()


def test_a_home_that_is_taken_away_ends_all_with_a_sentence(up):
    up.home.rename(up.home.with_name("unmounted"))

    assert up.process.wait() == 1
    until("nothing is left", lambda: not up.groups())
    assert f"{up.home}: Dagster's home is gone; mount its disk, or put it back, and start again" in up.log.read_text()


def test_parts_end_with_a_start_that_was_killed(up):
    up.process.kill()
    up.process.wait()

    until("nothing is left", lambda: not up.groups(), pause=0.5)


def test_projects_that_cannot_be_told_apart_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(PROJECT)

    refused = CliRunner().invoke(
        cli, ["up", "--project", str(tmp_path / "a.toml"), "--project", str(tmp_path / "b.toml")]
    )

    assert refused.exit_code == 2
    assert "give each a 'name' of its own" in refused.output
    assert not (tmp_path / "home").exists()
