import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat  # noqa: TID251

from atlaspatch_assets.cli.doctor import DAEMON, dagster_findings, mixed_versions
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_core.operations.doctor.values import DoctorFinding, DoctorLevel

pytestmark = pytest.mark.quick


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def found() -> dict[str, DoctorFinding]:
    return {finding.name: finding for finding in dagster_findings()}


def test_a_home_that_is_not_there_is_a_warning_and_is_not_made(home):
    assert [(it.name, it.level) for it in dagster_findings()] == [("dagster", DoctorLevel.WARN)]
    assert not home.exists()


def test_without_a_home_nothing_is_wrong(monkeypatch, tmp_path):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert [(it.name, it.level) for it in dagster_findings()] == [("dagster", DoctorLevel.OK)]
    assert list(tmp_path.iterdir()) == []


def test_an_instance_without_a_daemon_is_a_warning(home):
    dagster_home()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("slides", ["a", "b"])

    told = found()

    assert told["dagster"].level is DoctorLevel.OK
    assert "0 runs, 2 slides" in told["dagster"].text
    assert told[DAEMON].level is DoctorLevel.WARN
    assert "SENSOR" in told[DAEMON].text


def test_a_daemon_that_beats_is_well(home):
    dagster_home()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for kind in instance.get_daemon_statuses():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), kind, "here", []))

    assert found()[DAEMON].level is DoctorLevel.OK


def test_a_storage_that_cannot_be_reached_is_one_failure(home):
    home.mkdir()
    (home / "dagster.yaml").write_text("run_storage:\n  module: no_such_module\n  class: Storage\n")

    (told,) = dagster_findings()

    assert (told.name, told.level) == ("dagster", DoctorLevel.FAIL)
    assert "no_such_module" in told.text
    assert str(home / "dagster.yaml") in told.cure


def test_packages_of_different_versions_are_a_failure_that_names_them():
    together = {"dagster": "1.13.28", "dagster-webserver": "1.13.28", "dagster-postgres": "0.29.28"}
    assert list(mixed_versions(together)) == []
    assert list(mixed_versions(dict.fromkeys(together, "1!0+dev"))) == []
    for stray in ({"dagster-webserver": "1.13.27"}, {"dagster-postgres": "0.29.27"}):
        (finding,) = mixed_versions(together | stray)
        assert (finding.name, finding.level) == ("dagster version", DoctorLevel.FAIL)
        assert next(iter(stray)) in finding.text
        assert "dagster==1.13.28" in finding.cure


def test_whatever_is_installed_of_dagsters_own_repository_must_be_of_one_version(tmp_path, monkeypatch):
    """Packages of others that are called after it count their versions as they like."""
    for name, link in (("slack", "dagster/tree/master/python_modules"), ("ray", "community-integrations")):
        folder = tmp_path / f"dagster_{name}-0.1.0.dist-info"
        folder.mkdir()
        head = f"Metadata-Version: 2.1\nName: dagster-{name}\nVersion: 0.1.0\n"
        (folder / "METADATA").write_text(f"{head}Project-URL: Homepage, https://github.com/dagster-io/{link}\n")
    assert "dagster version" not in found()
    monkeypatch.syspath_prepend(str(tmp_path))
    told = found()["dagster version"]
    assert "dagster-slack 0.1.0" in told.text
    assert "dagster-ray" not in told.text
