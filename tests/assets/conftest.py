"""Fixtures that several test modules of the assets share."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from atlaspatch_assets.defs.slides import sensors

OpenInstance = Callable[[Path], AbstractContextManager[dg.DagsterInstance]]


@pytest.fixture
def files_at_rest(monkeypatch) -> None:
    """Take every file for settled: tests cannot wait half a minute."""
    monkeypatch.setattr(sensors, "SECONDS_AT_REST", 0.0)


@pytest.fixture(scope="session")
def open_instance(tmp_path_factory) -> OpenInstance:
    """What opens the Dagster instance of a folder: a new one is a copy, for making its databases takes a while."""
    empty = tmp_path_factory.mktemp("empty_instance")
    with dg.DagsterInstance.local_temp(str(empty)) as made:
        made.get_dynamic_partitions("slides"), made.all_instigator_state()

    def open_in(folder: Path) -> dg.DagsterInstance:
        if not folder.is_dir() or not any(folder.iterdir()):
            shutil.copytree(empty, folder, dirs_exist_ok=True)
        return dg.DagsterInstance.local_temp(str(folder))

    return open_in


@pytest.fixture
def home(tmp_path, open_instance, monkeypatch) -> Path:
    """Folder of a Dagster instance, named in DAGSTER_HOME."""
    open_instance(tmp_path / "home").dispose()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def instance(home, open_instance) -> Iterator[dg.DagsterInstance]:
    """The instance in ``home``."""
    with open_instance(home) as instance:
        yield instance
