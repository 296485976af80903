"""What the page of a stale slide says, as soon as the project changed."""

import dagster as dg
import pytest
from small_projects import paint, project, run, said

from atlaspatch_assets.dagster_internals import last_verdicts
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_core.config.project import Project

MASK, COORDS = dg.AssetKey("tissue_mask"), dg.AssetKey("patch_coords")


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def propose(of: Project, instance: dg.DagsterInstance) -> None:
    """Do what the sensor does when it sees a project for the first time, and what the run does that it asks for."""
    defs = build_definitions(of)
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=defs) as context:
        tick = defs.resolve_sensor_def("propose_upgrade").evaluate_tick(context)
    for event in tick.asset_events:
        instance.report_runless_asset_event(event)
    for request in tick.run_requests:
        job = defs.resolve_job_def("materialize_stale")
        assert job.execute_in_process(instance=instance, run_config=request.run_config).success


def shown(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict:
    """Return what the latest observation of slide a says."""
    asked = dg.AssetRecordsFilter(asset_key=key, asset_partitions=["a"])
    event = instance.fetch_observations(asked, limit=1).records[0].asset_observation
    assert event
    return {name: entry.value for name, entry in event.metadata.items()}


def valid(instance: dg.DagsterInstance) -> list[bool | None]:
    return [last_verdicts(instance, dg.AssetCheckKey(key, "valid")).get("a") for key in (MASK, COORDS)]


def test_a_changed_project_shows_at_once_why_a_slide_is_stale(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of, changed = project(tmp_path), project(tmp_path, tissue={"closing_um": 4.0})
    assert run(of, instance, ["a"]).success
    before = said(instance, "tissue_mask", "a")["recipe"]

    propose(changed, instance)

    mask, coords = shown(instance, MASK), shown(instance, COORDS)
    assert mask["status"] == coords["status"] == "stale"
    assert "closing_um" in mask["reason"]
    assert "→ 4.0" in mask["reason"]
    assert "materialize_stale" in mask["cure"]
    assert valid(instance) == [False, False]

    assert run(changed, instance, ["a"]).success
    made = said(instance, "tissue_mask", "a")
    assert "→ 4.0" in made["why"]
    assert {name for name in before if before[name] != made["recipe"][name]} == {"closing_um"}
    assert valid(instance) == [True, True]


def test_a_project_that_is_as_it_was_shows_at_once_that_a_slide_is_fresh_again(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of, changed = project(tmp_path), project(tmp_path, tissue={"closing_um": 4.0})
    assert run(of, instance, ["a"]).success
    propose(changed, instance)

    propose(of, instance)

    assert shown(instance, MASK)["status"] == "fresh"
    assert "cure" not in shown(instance, MASK)
    assert valid(instance) == [True, True]


def test_a_reused_output_does_not_say_that_nothing_has_changed(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    for _ in range(2):
        assert run(project(tmp_path), instance, ["a"]).success
    assert said(instance, "tissue_mask", "a")["why"] == "it was valid when this run looked at it"
