"""Dagster's home after a kill at its first start, and with files that are empty."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import pytest
from disks import fill, small_disk
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT
from rounds import examples

from atlaspatch_assets.lib.home import VARIABLE, dagster_home
from atlaspatch_assets.lib.new_home import DATABASES, SETTINGS

MAKE = "from atlaspatch_assets.lib.home import dagster_home; import dagster; print('made', flush=True); dagster_home()"
FILES = (*DATABASES, SETTINGS)


@pytest.fixture(autouse=True)
def keep_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")


@pytest.fixture(scope="module")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was made and never used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        return ready(tmp_path_factory.mktemp("unused") / "home")


def ready(home: Path) -> Path:
    os.environ[VARIABLE] = str(home)
    return dagster_home()


def check_works(home: Path) -> None:
    """Use the home as commands do, the first and a later one."""
    ready(home)
    for _ in range(2):
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.add_dynamic_partitions("slides", ["a"])
            instance.report_runless_asset_event(dg.AssetMaterialization("x", partition="a"))
            assert instance.get_runs_count() == 0
            assert instance.get_materialized_partitions(dg.AssetKey("x")) == {"a"}
            assert instance.all_instigator_state() == []
    assert "QueuedRunCoordinator" in (home / SETTINGS).read_text()


@given(st.sets(st.sampled_from(FILES), min_size=1), st.sampled_from(["empty", "gone", "no tables"]))
@examples(8)
def test_files_that_are_empty_are_made_anew(unused, names, how):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(shutil.copytree(unused, Path(folder) / "home"))
        for name in names:
            (home / name).unlink()
            if how == "empty":
                (home / name).touch()
            elif how == "no tables" and name != SETTINGS:
                with sqlite3.connect(home / name) as connection:
                    connection.execute("CREATE TABLE event_logs (id INTEGER)")
                connection.close()
        check_works(home)
        assert not list(home.glob(".first_start.new-*"))


def kill_at(home: Path, seconds: float) -> None:
    variables = {**os.environ, VARIABLE: str(home), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", MAKE], env=variables, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


@pytest.mark.e2e
@given(st.floats(0, 1.5), st.booleans())
@examples(3)
def test_a_kill_at_the_first_start_spoils_no_home(seconds, is_folder_there):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if is_folder_there:
            home.mkdir()
        kill_at(home, seconds)
        assert not home.exists() or not any(home.iterdir()) or all((home / name).stat().st_size for name in FILES)
        check_works(home)


@pytest.mark.quick
def test_history_stays_as_it_is(tmp_path):
    home = ready(tmp_path / "home")
    check_works(home)
    before = {name: (home / name).read_bytes() for name in DATABASES}
    ready(home)
    assert {name: (home / name).read_bytes() for name in DATABASES} == before


def test_a_full_disk_at_the_first_start_is_an_error_of_the_disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        fill(disk, 20_000)
        with pytest.raises(OSError, match="free space there"):
            ready(disk / "home")


def test_settings_with_another_storage_get_no_databases(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / SETTINGS).write_text("storage:\n  postgres: {}\n")
    ready(tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == [SETTINGS]


@pytest.mark.e2e
def test_two_first_starts_at_once_make_one_home(tmp_path):
    variables = {**os.environ, VARIABLE: str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    starts = [subprocess.Popen([sys.executable, "-c", MAKE], env=variables) for _ in range(2)]
    assert [start.wait() for start in starts] == [0, 0]
    check_works(tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
