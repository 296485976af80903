"""Slides without patches have the embeddings that they can have, and Dagster is told so; the real graph."""

from pathlib import Path

import dagster as dg
import pytest
from native_staleness import CachingStaleStatusResolver, LoadingContextForTest, StaleStatus
from painting import paint_slide, white
from small_projects import run, said
from upgrading import EMBEDDING, FEATURES, NETWORK, paint_noise, states, with_weights

from atlaspatch_assets.dagster_internals import data_versions
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.validity.job_config import MATERIALIZE_STALE
from atlaspatch_core.config.project import Project

NEW = f"slide_embedding/abmil-{NETWORK}"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def made(folder: Path, weights: Path, instance: dg.DagsterInstance, *with_patches: str) -> Project:
    """Return a project of a slide of glass, and of others, that were all taken to their embeddings."""
    paint_noise(folder / "slides", *with_patches)
    paint_slide(folder / "slides" / "glass.svs", white(512, 512))
    of = with_weights(folder, weights)
    assert run(of, instance, [*with_patches, "glass"]).success
    return of


def with_another_encoder(folder: Path, weights: dict[str, Path]) -> Project:
    encoders = {"slide_encoders": [f"mean-{NETWORK}", f"abmil-{NETWORK}"]}
    paths = {NETWORK: weights["old.pt"], f"abmil-{NETWORK}": weights["other.pt"]}
    return with_weights(folder, weights["old.pt"], geometry=encoders).model_copy(update={"weights": paths})


def propose(of: Project, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Do what the sensor does, but for the runs that it asks for."""
    defs = build_definitions(of)
    context = dg.build_sensor_context(instance=instance, definitions=defs)
    tick = defs.resolve_sensor_def("propose_upgrade").evaluate_tick(context)
    for event in tick.asset_events:
        instance.report_runless_asset_event(event)
    return list(tick.run_requests or ())


def native_status(of: Project, instance: dg.DagsterInstance, asset: str) -> StaleStatus:
    graph = build_definitions(of).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return resolver.get_status(dg.AssetKey(asset.split("/")), "glass")


def test_a_new_slide_encoder_asks_for_no_run_of_them_and_dagster_is_told(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance)
    changed = with_another_encoder(tmp_path, weights)
    assert states(changed, instance) == {}

    assert propose(changed, instance) == []

    assert said(instance, NEW, "glass")["status"] == "skipped"
    assert "no patches" in said(instance, NEW, "glass")["why"]
    assert native_status(changed, instance, NEW) is StaleStatus.FRESH
    before = data_versions(instance, dg.AssetKey(NEW.split("/")))
    assert run(changed, instance, ["glass"]).success
    assert data_versions(instance, dg.AssetKey(NEW.split("/"))) == before


def test_slides_with_patches_are_asked_for_all_the_same(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_another_encoder(tmp_path, weights)

    (request,) = propose(changed, instance)

    assert request.run_config["ops"]["find_new"]["config"]["assets"] == [NEW]
    assert states(changed, instance) == {NEW: {"a missing"}}
    assert propose(changed, instance) == [request]


def test_a_canary_leaves_them_fresh_in_dagster_too(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance, "a")
    changed = with_weights(tmp_path, weights["same.safetensors"])
    old = data_versions(instance, dg.AssetKey(EMBEDDING.split("/")))["glass"]

    job = build_definitions(changed).resolve_job_def(MATERIALIZE_STALE)
    result = job.execute_in_process(
        instance=instance, run_config={"ops": {"find_stale": {"config": {"dry_run": False}}}}
    )

    (output,) = (event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    assert output.step_output_data.metadata["slides"].value == 0
    assert said(instance, FEATURES, "glass")["status"] == "restamped"
    assert states(changed, instance) == {}
    assert data_versions(instance, dg.AssetKey(EMBEDDING.split("/")))["glass"] != old
    assert native_status(changed, instance, EMBEDDING) is StaleStatus.FRESH


def test_one_that_may_get_patches_is_stale(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance)
    changed = with_weights(tmp_path, weights["old.pt"], geometry={"step_size": 128})

    assert states(changed, instance)[EMBEDDING] == {"glass stale"}


def test_the_hourly_look_tells_what_no_sensor_told(tmp_path, instance, weights):
    made(tmp_path, weights["old.pt"], instance)
    changed = with_another_encoder(tmp_path, weights)

    assert build_definitions(changed).resolve_job_def("check_validity").execute_in_process(instance=instance).success

    assert said(instance, NEW, "glass")["status"] == "skipped"
