"""Commands of Dagster say whose numbers a name means that AtlasPatch and TRIDENT share."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from project_files import project_text

from atlaspatch_assets.cli.main import cli

OF_ATLASPATCH = "resnet50 is AtlasPatch's here (2048 numbers a patch); TRIDENT's is trident-resnet50."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "slides").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_project(path: Path, encoder: str) -> None:
    """Write a project that is named as its file."""
    path.write_text(project_text(name=path.stem, geometry=f'patch_encoders = ["{encoder}"]'))


def test_backfill_says_it(folder: Path):
    write_project(folder / "atlaspatch.toml", "resnet50")
    result = CliRunner().invoke(cli, ["backfill", "--missing", "--dry-run"])
    assert result.stderr.splitlines()[:1] == [OF_ATLASPATCH]


def test_up_says_it_once_for_all_its_projects(folder: Path):
    for name, encoder in (("one", "resnet50"), ("two", "resnet50"), ("three", "efficientnet_lite0")):
        write_project(folder / f"{name}.toml", encoder)
    projects = [word for name in ("one", "two", "three") for word in ("--project", f"{name}.toml")]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(cli, ["up", *projects, "--port", str(taken.getsockname()[1])])
    assert result.exit_code != 0
    assert result.stderr.count(OF_ATLASPATCH) == 1
