"""``atlaspatch ui`` finds the project from any folder; what it starts is that of ``atlaspatch up``."""

from pathlib import Path

import click
import dagster as dg
import pytest
from click.testing import CliRunner

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.cli.ui import project_at, project_toml, tell_dagster
from atlaspatch_core.config.project import load_project, make_project

PROJECT = 'output = "out"\n[slides]\nfolders = ["slides"]\n[[geometry]]\npatch_size = 256\ntarget_mag = 20\n'


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    return tmp_path


@pytest.mark.parametrize("place", [".", "deep", "deep/er", "atlaspatch.toml"])
def test_the_nearest_project_file_is_taken(lab, place):
    with project_at(lab / place) as file:
        assert file == lab / "atlaspatch.toml"


def test_where_there_is_no_project_the_cure_is_said(tmp_path):
    result = CliRunner().invoke(cli, ["ui", str(tmp_path)])
    assert (result.exit_code, "'atlaspatch init' writes a project file" in result.output) == (2, True)


def test_a_project_beside_results_has_no_code_executed_that_nobody_named(lab):
    (lab / "runs").mkdir()
    (lab / "runs" / "a.json").write_text("{}")
    (lab / "atlaspatch.toml").write_text(f'plugins = ["plugin.py"]\n{PROJECT}')
    with pytest.raises(click.UsageError, match="if you trust it, name the file"), project_at(lab / "deep"):
        pass


def test_values_of_a_project_become_a_file_that_means_the_same(tmp_path):
    values = {"output": str(tmp_path / 'o "1"'), "weights": {"uni-v1": "/w.bin"}, "tissue": {"remove_penmarks": True}}
    geometries = [{"patch_size": 256, "target_mag": 20.0, "name": name, "filters": {}} for name in ("a", "b")]
    project = make_project(values | {"geometry": geometries}, origin="test")
    (tmp_path / "atlaspatch.toml").write_text(project_toml(project.model_dump(mode="json")))
    assert load_project(tmp_path / "atlaspatch.toml") == project


def test_dagster_is_told_of_what_an_output_folder_holds(tmp_path, monkeypatch, bundled_slide):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / bundled_slide.name).symlink_to(bundled_slide)
    stages = ["--task", "coords", "--wsi_dir", str(tmp_path / "slides"), "--job_dir", str(tmp_path / "out")]
    made = CliRunner().invoke(cli, ["run", *stages, "--segmenter", "otsu", "--mag", "20", "--patch_size", "256"])
    assert made.exit_code == 0, made.output
    with project_at(tmp_path / "out") as file:
        tell_dagster(file)
    with dg.DagsterInstance.get() as instance:
        (stem,) = instance.get_dynamic_partitions("slides")
        assert stem == bundled_slide.stem
        assert instance.get_materialized_partitions(dg.AssetKey("tissue_mask")) == {stem}
