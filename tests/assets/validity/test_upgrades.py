"""An encoder, a mask or a geometry changes: canary, results that are kept, and runs for the others; the real graph."""

from typing import Any

import dagster as dg
import pytest
from small_projects import GEOMETRY, break_slide, failed_slides, last, paint, project, run, said
from upgrading import EMBEDDING, FEATURES, made, requested_runs, states, with_weights

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.validity.job_config import MATERIALIZE_FAILED, MATERIALIZE_NEW, MATERIALIZE_STALE
from atlaspatch_core.config.project import Project


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def launch(of: Project, job: str, instance: dg.DagsterInstance, **config) -> dg.ExecuteInProcessResult:
    op = {MATERIALIZE_NEW: "find_new", MATERIALIZE_STALE: "find_stale", MATERIALIZE_FAILED: "find_failed"}[job]
    definition = build_definitions(of).resolve_job_def(job)
    return definition.execute_in_process(instance=instance, run_config={"ops": {op: {"config": config}}})


def takes(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (output,) = (event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    return {name: entry.value for name, entry in output.step_output_data.metadata.items()}


def grant(of: Project, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    job = build_definitions(of).resolve_job_def("process_slides")
    assert request.partition_key is not None
    return job.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        run_config=request.run_config,
        asset_selection=list(request.asset_selection or ()),
        raise_on_error=False,
    )


def test_a_dry_run_says_what_it_takes_and_changes_nothing(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a", "b", "c")
    changed = with_weights(tmp_path, weights["same.safetensors"])

    result = launch(changed, MATERIALIZE_STALE, instance)

    told = takes(result)
    assert (told["slides"], told["outputs"], told["patches"]) == (3, 6, 12)
    assert told["to_compute"].startswith(f"3 slides (3 × {FEATURES}, 3 × {EMBEDDING}): 12 patches, about ")
    assert "no rate" not in told["to_compute"]
    assert requested_runs(changed, instance, result) == []
    assert states(changed, instance).keys() == {FEATURES, EMBEDDING}


def test_the_same_numbers_keep_their_rows_and_the_slides_are_fresh(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a", "b", "c")
    changed = with_weights(tmp_path, weights["same.safetensors"])
    size = (tmp_path / "output" / "patches" / "a.h5").stat().st_size
    before = {asset: numbers(instance, asset, "b") for asset in (FEATURES, EMBEDDING)}

    result = launch(changed, MATERIALIZE_STALE, instance, dry_run=False)

    assert states(changed, instance) == {}
    assert requested_runs(changed, instance, result) == []
    assert takes(result)["slides"] == 0
    for asset in (FEATURES, EMBEDDING):
        told = said(instance, asset, "b")
        assert told["status"] == "restamped"
        assert told["why"].startswith("numerically the same: 4 patches of 2 slides, cosine at least 1.0")
        assert told["canary_least_cosine"] == pytest.approx(1)
        assert {name: told[name] for name in before[asset]} == before[asset]
    assert abs((tmp_path / "output" / "patches" / "a.h5").stat().st_size - size) < 20_000
    assert run(changed, instance, ["a"]).success
    assert said(instance, FEATURES, "a")["status"] == "reused"


def numbers(instance: dg.DagsterInstance, asset: str, stem: str) -> dict[str, int | float]:
    """Return the numbers that Dagster plots of an output, without those of the work it took."""
    told = said(instance, asset, stem).items()
    return {name: it for name, it in told if isinstance(it, int | float) and "second" not in name}


def test_other_numbers_are_computed_in_batches_for_the_stale_slides_alone(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a", "b", "c")
    changed = with_weights(tmp_path, weights["other.pt"])
    assert run(changed, instance, ["b"]).success

    result = launch(changed, MATERIALIZE_STALE, instance, dry_run=False)
    requests = requested_runs(changed, instance, result)

    (request,) = requests
    assert request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"] == ["a", "c"]
    assert [key.to_user_string() for key in request.asset_selection or ()] == [FEATURES, EMBEDDING]
    assert {key.name for key in request.asset_check_keys or ()} == {"processed"}
    assert request.tags["atlaspatch/reason"] == MATERIALIZE_STALE
    assert [it.run_key for it in requested_runs(changed, instance, result)] == [request.run_key]
    assert grant(changed, instance, request).success
    assert states(changed, instance) == {}
    assert said(instance, FEATURES, "a")["status"] == "computed"
    assert said(instance, "patch_coords", "a")["why"] == "it was not there yet"


def test_a_proposal_sends_the_canary_and_asks_for_no_run(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["other.pt"])

    result = launch(changed, MATERIALIZE_STALE, instance, dry_run=False, compute=False)

    assert requested_runs(changed, instance, result) == []
    assert takes(result)["slides"] == 1


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"tissue": {"closing_um": 4.0}}, "tissue_mask"),
        ({"geometry": {"step_size": 128}}, "patch_coords"),
        ({"geometry": {"min_tissue": 0.5}}, "patch_coords"),
    ],
)
def test_another_segmenter_geometry_or_threshold_goes_the_same_way(tmp_path, instance, weights, change, first):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["old.pt"], **change)

    (request,) = requested_runs(changed, instance, launch(changed, MATERIALIZE_STALE, instance, dry_run=False))

    assert next(key.to_user_string() for key in request.asset_selection or ()) == first
    assert grant(changed, instance, request).success
    assert states(changed, instance) == {}


def test_one_asset_alone_can_be_asked_for_and_an_unknown_one_is_named(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["other.pt"])

    result = launch(changed, MATERIALIZE_STALE, instance, dry_run=False, assets=["timm-test_efficientnet"])

    (request,) = requested_runs(changed, instance, result)
    assert [key.to_user_string() for key in request.asset_selection or ()] == [FEATURES]
    with pytest.raises(dg.Failure, match=r"no asset uni_v9; choose among slide, tissue_mask"):
        launch(changed, MATERIALIZE_STALE, instance, assets=["uni_v9"])


def test_missing_outputs_are_found_with_what_they_need(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b", "c")
    of = project(tmp_path)
    run(of, instance, ["a"])
    run(of, instance, ["b"], assets=[dg.AssetKey("slide")])
    instance.add_dynamic_partitions("slides", ["c"])

    requests = requested_runs(of, instance, launch(of, MATERIALIZE_NEW, instance, dry_run=False))

    listed = [
        (it.run_config["ops"]["slides_to_embeddings"]["config"]["slides"], len(it.asset_selection or ()))
        for it in requests
    ]
    assert listed == [(["b"], 2), (["c"], 3)]


def test_failed_slides_are_counted_and_tried_again_with_all_that_depends_on_them(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    for stem in ("broken", "mended"):
        break_slide(tmp_path / "slides", stem)
    of = project(tmp_path)
    run(of, instance, ["a", "broken", "mended"])
    paint(tmp_path / "slides", "mended")

    dry = launch(of, MATERIALIZE_FAILED, instance)
    (request,) = requested_runs(of, instance, launch(of, MATERIALIZE_FAILED, instance, dry_run=False))

    assert (takes(dry)["slides"], takes(dry)["outputs"]) == (2, 6)
    assert requested_runs(of, instance, dry) == []
    said_of = [entry.user_message for entry in instance.all_logs(dry.run_id)]
    assert "2 slides failed and will be tried again, with all that depends on it" in said_of
    assert any(it.startswith("1 slide of these will fail again") for it in said_of)
    assert len(request.asset_selection or ()) == 3
    assert failed_slides(grant(of, instance, request)).keys() == {"broken"}
    assert states(of, instance)["patch_coords"] == {"broken missing"}
    new = takes(launch(of, MATERIALIZE_NEW, instance))
    assert (new["to_compute"], new["held_up"]) == ("nothing to do", 1)


def test_slides_whose_files_are_gone_are_left_out_and_counted(tmp_path, instance):
    paint(tmp_path / "slides", "gone", "here")
    of = project(tmp_path)
    run(of, instance, ["gone", "here"])
    (tmp_path / "slides" / "gone.svs").unlink()
    changed = project(tmp_path, tissue={"closing_um": 4.0})

    result = launch(changed, MATERIALIZE_STALE, instance, dry_run=False)

    (request,) = requested_runs(changed, instance, result)
    assert request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"] == ["here"]
    said_of = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any(it.startswith("1 slide left out, because the file is gone") for it in said_of)


def propose(of: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    defs = build_definitions(of)
    context = dg.build_sensor_context(instance=instance, definitions=defs, cursor=cursor)
    return defs.resolve_sensor_def("propose_upgrade").evaluate_tick(context)


@pytest.mark.parametrize("automatic", [True, False])
def test_a_changed_project_is_looked_at_once_and_computed_only_where_it_says_so(tmp_path, instance, weights, automatic):
    of = made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["other.pt"], upgrades={"automatic": automatic})

    assert propose(of, instance).skip_message == "nothing is stale, and nothing is missing"
    tick = propose(changed, instance)

    (request,) = tick.run_requests
    assert request.run_config == {"ops": {"find_stale": {"config": {"dry_run": False, "compute": automatic}}}}
    assert propose(changed, instance, cursor=tick.cursor).run_requests == []
    assert [it.run_key for it in propose(changed, instance).run_requests] == [request.run_key]


def test_what_was_proposed_is_computed_once_the_project_says_automatic(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    proposed = propose(with_weights(tmp_path, weights["other.pt"]), instance)
    allowed = with_weights(tmp_path, weights["other.pt"], upgrades={"automatic": True})

    (request,) = propose(allowed, instance, cursor=proposed.cursor).run_requests

    assert request.run_config["ops"]["find_stale"]["config"] == {"dry_run": False, "compute": True}
    assert request.run_key != proposed.run_requests[0].run_key


@pytest.mark.parametrize("automatic", [True, False])
def test_an_encoder_replaced_by_another_name_is_proposed_or_computed(tmp_path, instance, weights, automatic):
    import timm
    import torch

    made(tmp_path, weights["old.pt"], instance, "a", "b")
    new = "timm-test_resnet"
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "new.pt")
    changed = project(
        tmp_path,
        geometry=[GEOMETRY | {"patch_encoders": [new]}],
        weights={new: tmp_path / "new.pt"},
        upgrades={"automatic": automatic},
    )

    (request,) = propose(changed, instance).run_requests

    assert request.job_name == MATERIALIZE_NEW
    config = {"dry_run": False, "compute": automatic, "assets": ["patch_features/timm-test_resnet"]}
    assert request.run_config == {"ops": {"find_new": {"config": config}}}
    job = build_definitions(changed).resolve_job_def(MATERIALIZE_NEW)
    result = job.execute_in_process(instance=instance, run_config=dict(request.run_config))
    lines = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert any(line.startswith("To compute: 2 slides") for line in lines)
    (line,) = [line for line in lines if "no longer asks for" in line]
    assert line.startswith(f"patch_features/timm-test_resnet is missing for 2 slides with {FEATURES}, ")
    runs = requested_runs(changed, instance, result)
    assert [run.run_config["ops"]["slides_to_embeddings"]["config"]["slides"] for run in runs] == (
        [["a", "b"]] if automatic else []
    )


def test_dagster_itself_finds_restamped_slides_fresh(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["same.safetensors"])
    launch(changed, MATERIALIZE_STALE, instance, dry_run=False)
    from native_staleness import CachingStaleStatusResolver, LoadingContextForTest, StaleStatus

    graph = build_definitions(changed).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))

    found = [resolver.get_status(dg.AssetKey(asset.split("/")), "a") for asset in (FEATURES, EMBEDDING)]

    assert found == [StaleStatus.FRESH] * 2
    assert last(instance, EMBEDDING, "a").event_log_entry.tags
