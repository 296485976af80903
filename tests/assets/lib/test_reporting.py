"""What the command line tells Dagster of its own work."""

from dataclasses import replace

import dagster as dg
import pytest
from click.testing import CliRunner
from small_projects import break_slide, last, paint, project, said

from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.reporting import Reporter, report_outcomes
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import make_recipe

COORDS = OutputKey("patch_coords")
MASK = Outcome("a", OutputKey("tissue_mask"), Status.COMPUTED, "1" * 16, why="missing", numbers={"tissue_share": 0.25})
INPUTS = {"tissue_mask": "1" * 16}
DONE = Outcome("a", COORDS, Status.COMPUTED, "2" * 16, "code", why="missing", numbers={"patches": 4}, inputs=INPUTS)
FAILED = Outcome("b", COORDS, Status.FAILED, why="b: it broke")
SKIPPED = Outcome("b", OutputKey("patch_features", "uni"), Status.SKIPPED, why="patch_coords failed")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tell(instance: dg.DagsterInstance, *outcomes: Outcome) -> None:
    report_outcomes(outcomes, OpenFailures(ProjectNames(), instance))


def latest(instance: dg.DagsterInstance) -> dict[str, str]:
    """Return slide to its last verdict."""
    asked = dg.AssetCheckKey(dg.AssetKey("patch_coords"), "processed")
    infos = instance.event_log_storage.get_asset_check_partition_info([asked])
    return {str(it.partition_key): it.latest_execution_status.value for it in infos}


def observations(instance: dg.DagsterInstance, asset: str) -> list[dg.EventLogRecord]:
    return list(instance.fetch_observations(dg.AssetKey(asset.split("/")), limit=9).records)


@pytest.mark.quick
def test_outcomes_become_partitions_materialisations_and_verdicts_that_change(instance):
    mended = replace(DONE, stem="b", inputs={})
    tell(instance, MASK, DONE, FAILED, SKIPPED)
    tell(instance, mended)
    tell(instance, mended)
    standing = latest(instance)
    tell(instance, FAILED)

    assert instance.get_dynamic_partitions("slides") == ["a", "b"]
    assert instance.get_materialized_partitions(dg.AssetKey("patch_coords")) == {"a", "b"}
    assert said(instance, "patch_coords", "a")["patches"] == 4
    why = [record.asset_observation.metadata["reason"].value for record in observations(instance, "patch_features/uni")]
    assert why == ["patch_coords failed: b: it broke"]
    assert (standing, latest(instance)) == ({"b": "SUCCEEDED"}, {"b": "FAILED"})


@pytest.mark.quick
def test_events_carry_their_version_and_that_of_what_they_came_from(instance):
    tell(instance, MASK, DONE)

    assert last(instance, "patch_coords", "a").event_log_entry.tags == {
        "dagster/data_version": "2" * 16,
        "dagster/code_version": "code",
        "dagster/input_data_version/tissue_mask": "1" * 16,
        "dagster/input_event_pointer/tissue_mask": str(last(instance, "tissue_mask", "a").storage_id),
    }


def test_what_encode_slide_made_stands_in_dagster(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    paint(tmp_path / "slides", "a")
    break_slide(tmp_path / "slides", "b")
    options = ["--output", str(tmp_path / "out"), "--patch-size", "256", "--target-mag", "20", "--device", "cpu"]
    command = ["encode-slide", str(tmp_path / "slides"), *options, "--slide-encoders", "mean-efficientnet_lite0"]

    result = CliRunner().invoke(cli, command, obj=Hooks(report=Reporter()))

    assert result.exit_code == 1
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("patch_coords")) == {"a"}
        assert said(instance, "patch_coords", "a")["patches"] == 4


def test_a_dagster_that_cannot_be_reached_stops_no_work_and_is_told_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("nonsense: [")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    reporter, recipe = Reporter(), make_recipe(project(tmp_path))

    reporter(recipe, MASK)
    reporter(recipe, DONE)

    assert [record.message.split(":")[0] for record in caplog.records] == ["Dagster is told no more of this run"]
