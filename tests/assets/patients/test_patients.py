"""Cases as partitions, run for real: one embedding per case, from its slides."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from small_projects import break_slide, last, paint, project, said

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames

ASSET = "patient_embedding/mean-timm-test_efficientnet"
FEATURES = "patch_features/timm-test_efficientnet"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A tiny network with random weights, so that encoding takes no time."""
    import timm
    import torch

    torch.manual_seed(0)
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def cases(tmp_path: Path, weights: Path, *rows: str, **values):
    """Return a project with a table of cases."""
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,slide_path", *rows]) + "\n")
    patients = {"manifest": tmp_path / "cases.csv", "encoders": ["mean-timm-test_efficientnet"]}
    return project(tmp_path, patients=patients, weights={"timm-test_efficientnet": weights}, **values)


def run(of, instance: dg.DagsterInstance, case_ids: Sequence[str], *, force: bool = False) -> dg.ExecuteInProcessResult:
    of_cases = ProjectNames.of(of).cases
    of_cases.register(instance, case_ids)
    return (
        build_definitions(of)
        .resolve_job_def(of_cases.job_name)
        .execute_in_process(
            instance=instance,
            partition_key=case_ids[0],
            run_config=of_cases.config(case_ids, force=force),
            raise_on_error=False,
        )
    )


def failed_cases(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return failure.metadata["failed_cases"].value


def version(instance: dg.DagsterInstance, case_id: str) -> str:
    return last(instance, ASSET, case_id).event_log_entry.tags["dagster/data_version"]


@pytest.mark.quick
def test_each_case_is_materialised_with_its_own_version_and_a_bad_one_stops_none(tmp_path, instance, weights):
    """Each case is materialised with a version of its own and a bad one stops no other."""
    paint(tmp_path / "slides", "a", "b")
    break_slide(tmp_path / "slides", "broken")
    of = cases(tmp_path, weights, "p1,slides/a.svs", "p1,slides/b.svs", "bad,slides/broken.svs", "p2,slides/b.svs")

    result = run(of, instance, ["p1", "bad", "p2"])

    assert not result.success
    assert list(failed_cases(result)) == ["bad"]
    assert "broken" in failed_cases(result)["bad"]
    assert instance.get_materialized_partitions(dg.AssetKey(ASSET.split("/"))) == {"p1", "p2"}
    assert version(instance, "p1") != version(instance, "p2")
    told = said(instance, ASSET, "p1")
    assert (told["slides"], told["status"]) == (2, "computed")
    path = tmp_path / "output" / "patient_features" / "mean-timm-test_efficientnet" / "p1.h5"
    assert told["path"] == str(path)
    assert path.is_file()


def test_a_second_run_reuses_the_case_and_another_slide_gives_it_another_version(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a", "b")
    of = cases(tmp_path, weights, "p1,slides/a.svs")
    assert run(of, instance, ["p1"]).success
    before, told = version(instance, "p1"), said(instance, ASSET, "p1")
    made = {name: told[name] for name in ("norm", "patches", "dim", "slides")}

    assert run(of, instance, ["p1"]).success
    assert said(instance, ASSET, "p1")["status"] == "reused"
    told = said(instance, ASSET, "p1")
    assert {name: told[name] for name in ("norm", "patches", "dim", "slides")} == made
    assert version(instance, "p1") == before

    assert run(cases(tmp_path, weights, "p1,slides/a.svs", "p1,slides/b.svs"), instance, ["p1"]).success
    assert said(instance, ASSET, "p1")["why"] == "slides a → a b"
    assert version(instance, "p1") != before


def test_slides_that_are_partitions_hear_of_the_features_that_a_case_needed(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a", "b")
    ProjectNames().slides.register(instance, ["a"])

    assert run(cases(tmp_path, weights, "p1,slides/a.svs", "p1,slides/b.svs"), instance, ["p1"]).success

    assert instance.get_materialized_partitions(dg.AssetKey(FEATURES.split("/"))) == {"a"}


def test_a_case_that_left_the_table_fails_with_the_reason(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a")
    result = run(cases(tmp_path, weights, "p1,slides/a.svs"), instance, ["gone", "p1"])
    assert list(failed_cases(result)) == ["gone"]
    assert "names no such case" in failed_cases(result)["gone"]
    assert instance.get_materialized_partitions(dg.AssetKey(ASSET.split("/"))) == {"p1"}


def test_a_mistake_in_the_table_ends_the_run_with_its_sentence(tmp_path, instance, weights):
    result = run(cases(tmp_path, weights, "p1,slides/none.svs"), instance, ["p1"])
    (event,) = (event for event in result.all_events if event.is_step_failure)
    assert "cases.csv, line 2: slide_path slides/none.svs" in str(event.step_failure_data.error)


def test_the_asset_depends_on_the_features_of_all_slides(tmp_path, weights):
    paint(tmp_path / "slides", "a")
    graph = build_definitions(cases(tmp_path, weights, "p1,slides/a.svs")).resolve_asset_graph()
    node = graph.get(dg.AssetKey(ASSET.split("/")))
    assert {key.to_user_string() for key in node.parent_keys} == {FEATURES}
    assert (node.group_name, node.partitions_def) == ("patients", ProjectNames().cases.definition)


def test_a_project_without_a_table_has_no_assets_of_cases(tmp_path):
    definitions = build_definitions(project(tmp_path))
    assert "new_cases" not in {sensor.name for sensor in definitions.sensors or ()}
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert not any("patient" in key for key in keys)


def test_the_sensor_registers_new_cases_and_asks_for_them_in_batches(tmp_path, instance, weights, monkeypatch):
    monkeypatch.setattr("atlaspatch_assets.defs.slides.sensors.SECONDS_AT_REST", 0.0)
    paint(tmp_path / "elsewhere", "a")
    runtime = {"device": "cpu", "read_workers": 1, "threads": 1, "slides_per_run": 2}
    of = cases(tmp_path, weights, *(f"p{number},elsewhere/a.svs" for number in range(3)), runtime=runtime)
    sensor = build_definitions(of).resolve_sensor_def("new_cases")
    context = dg.build_sensor_context(instance=instance, definitions=build_definitions(of))

    result = sensor(context)

    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or ()] == ["p0", "p2"]
    assert [request.run_config for request in result.run_requests or ()] == [
        ProjectNames().cases.config(["p0", "p1"]),
        ProjectNames().cases.config(["p2"]),
    ]
    assert result.dynamic_partitions_requests[0].partition_keys == ["p0", "p1", "p2"]
    ProjectNames().cases.register(instance, ["p0", "p1", "p2"])
    told = sensor(context)
    assert isinstance(told, dg.SensorResult)
    assert (told.run_requests, told.skip_reason and told.skip_reason.skip_message) == ([], "all 3 cases are known")
