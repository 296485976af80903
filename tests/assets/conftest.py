"""Fixtures that several test modules of the assets share."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from atlaspatch_assets.defs.slides import sensors


@pytest.fixture
def files_at_rest(monkeypatch) -> None:
    """Take every file for settled: tests cannot wait half a minute."""
    monkeypatch.setattr(sensors, "SECONDS_AT_REST", 0.0)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Folder of a Dagster instance, named in DAGSTER_HOME."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def instance(home) -> Iterator[dg.DagsterInstance]:
    """The instance in ``home``."""
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance
