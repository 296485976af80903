"""Projects that share one Dagster instance, and stems of slides: none touches what is another's."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from names_in_dagster import partition_sets, tick
from several_projects import KIDNEY, LUNG, carry_out, count, lab, make, sensor, states
from small_projects import GEOMETRY, break_slide, paint, run, said

from atlaspatch_assets.cli.local_backfill import backfill
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.masks import sensors as edits
from atlaspatch_assets.lib.names import PROJECT_TAG, ProjectNames
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.arrival import ArrivalCursor
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

pytestmark = pytest.mark.usefixtures("files_at_rest")


def test_two_projects_and_one_without_a_name_are_one_code_location(tmp_path):
    together = dg.Definitions.merge(*(build_definitions(lab(tmp_path, name, "s")) for name in (KIDNEY, LUNG, None)))

    repository = together.get_repository_def()

    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"kidney__process_slides", "lung__2__process_slides", "process_slides"} <= jobs


def test_a_name_decides_no_result(tmp_path, instance):
    of = lab(tmp_path, None, "s")
    named = of.model_copy(update={"name": KIDNEY})
    make(of, instance, "s")
    make(named, instance, "s")

    assert [it.code_version for it in make_recipe(named).stages] == [it.code_version for it in make_recipe(of).stages]
    for asset in ("slide", "tissue_mask", "patch_coords"):
        before, after = said(instance, asset, "s"), said(instance, f"{KIDNEY}/{asset}", "s")
        assert (after["fingerprint"], after["status"]) == (before["fingerprint"], "reused")


OTHER_PAIRS = [pytest.param(names, marks=pytest.mark.e2e) for names in ((KIDNEY, None), (None, LUNG))]
PAIRS = [(KIDNEY, LUNG), *OTHER_PAIRS]


@pytest.mark.parametrize("names", PAIRS)
def test_projects_that_share_a_stem_arrive_run_and_go_without_each_other(tmp_path, home, instance, names):
    one, other = (lab(tmp_path, name, "s") for name in names)
    first, second = (ProjectNames.of(of) for of in (one, other))

    found = tick(one, instance, sensor(one, "new_slides"))
    assert partition_sets(home) == {str(first.slides.definition.name): ["s"]}
    assert carry_out(one, instance, found) == [sensor(one, "process_slides")]
    assert states(one, instance) == {"s": {State.FRESH}}
    assert states(other, instance) == {}

    of_other = tick(other, instance, sensor(other, "new_slides"))
    assert carry_out(other, instance, of_other) == [sensor(other, "process_slides")]
    assert states(other, instance) == {"s": {State.FRESH}}
    paths = [
        said(instance, ProjectNames.of(of).asset_key("tissue_mask").to_user_string(), "s")["path"]
        for of in (one, other)
    ]
    assert [Path(path).is_relative_to(of.output) for path, of in zip(paths, (one, other), strict=True)] == [True, True]

    (one.slides.folders[0] / "s.svs").unlink()
    paint(one.slides.folders[0], "t")
    gone = tick(one, instance, sensor(one, "new_slides"), found.cursor)
    assert [event.asset_key for event in gone.asset_events] == [first.asset_key("slide")]
    assert tick(other, instance, sensor(other, "new_slides"), of_other.cursor).asset_events == []
    assert set(partition_sets(home)[str(first.removed.name)]) == {"s"}
    assert str(second.removed.name) not in partition_sets(home)

    retire = build_definitions(one).resolve_job_def(sensor(one, "retire_slides"))
    config = {"ops": {sensor(one, "retire"): {"config": {"dry_run": False}}}}
    assert retire.execute_in_process(instance=instance, run_config=config).success
    assert first.slides.keys(instance) == {"t"}
    assert second.slides.keys(instance) == {"s"}
    assert states(other, instance) == {"s": {State.FRESH}}


@pytest.mark.parametrize("names", PAIRS)
def test_a_backfill_of_one_project_leaves_the_other_alone(tmp_path, instance, names):
    one, other = (lab(tmp_path, name, "s") for name in names)
    for of in (one, other):
        make(of, instance, "s")
    changed = one.model_copy(update={"geometry": (one.geometry[0].model_copy(update={"patch_size": 128}),)})
    assert State.STALE in states(changed, instance)["s"]
    keys = [ProjectNames.of(of).asset_key("patch_coords").path for of in (one, other)]
    before = [count(instance, *key) for key in keys]

    done = backfill(
        make_recipe(changed),
        instance,
        [State.STALE, State.MISSING],
        [],
        dry_run=False,
        canary=True,
        show=lambda _: None,
        write_line=lambda _: None,
    )

    assert done is not None
    assert done.slides == 1
    assert [count(instance, *key) for key in keys] == [before[0] + 1, before[1]]
    assert states(changed, instance) == states(other, instance) == {"s": {State.FRESH}}


@pytest.mark.parametrize("name", [LUNG, None])
def test_a_changed_project_is_proposed_launched_and_computed_under_its_name(tmp_path, instance, name):
    of, other = lab(tmp_path, name, "s", upgrades={"automatic": True}), lab(tmp_path, KIDNEY, "s")
    for it in (of, other):
        make(it, instance, "s")
    changed = of.model_copy(update={"geometry": (of.geometry[0].model_copy(update={"patch_size": 128}),)})
    definitions = build_definitions(changed)

    (proposed,) = tick(changed, instance, sensor(of, "propose_upgrade")).run_requests
    repair = definitions.resolve_job_def(sensor(of, "materialize_stale"))
    result = repair.execute_in_process(instance=instance, run_config=proposed.run_config, tags=proposed.tags)
    (ended,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_SUCCESS")
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor(of, "launch_batches"),
        dagster_event=ended,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    )
    launched = list(definitions.resolve_sensor_def(sensor(of, "launch_batches"))(context))  # type: ignore[operator]

    assert carry_out(changed, instance, SimpleNamespace(run_requests=launched)) == [sensor(of, "process_slides")]
    assert launched[0].tags["atlaspatch/asked_by"] == result.run_id
    assert states(changed, instance) == states(other, instance) == {"s": {State.FRESH}}


def test_an_edited_mask_is_asked_for_in_its_project_alone(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(edits, "SECONDS_AT_REST", -1.0)
    one, other = lab(tmp_path, KIDNEY, "s"), lab(tmp_path, LUNG, "s")
    for of in (one, other):
        make(of, instance, "s")
    square = {"type": "Polygon", "coordinates": [[[0, 0], [512, 0], [512, 512], [0, 512], [0, 0]]]}
    (one.output / "contours_geojson" / "s.geojson").write_text(json.dumps(square))

    found = [tick(of, instance, sensor(of, "edited_masks")) for of in (one, other)]

    assert carry_out(one, instance, found[0]) == [sensor(one, "process_slides")]
    assert found[1].run_requests == []
    assert said(instance, f"{KIDNEY}/tissue_mask", "s")["edited"] == "true"


def test_a_slide_that_cannot_be_used_is_so_in_its_project_alone(tmp_path, instance):
    bad, well = lab(tmp_path, KIDNEY), lab(tmp_path, LUNG, "s")
    break_slide(bad.slides.folders[0], "s")

    for of in (bad, well):
        tick(of, instance, sensor(of, "new_slides"))
    run(well, instance, ["s"])

    assert State.FAILED in states(bad, instance)["s"]
    assert states(well, instance) == {"s": {State.FRESH}}
    verdicts = [run for run in instance.get_runs() if run.job_name == "record_verdicts"]
    assert [run.tags[PROJECT_TAG] for run in verdicts] == [KIDNEY]


# Runs of the instance


def queue(of: Project, instance: dg.DagsterInstance, job: str, stem: str, **settings) -> None:
    """Create a run that has not begun."""
    definition = build_definitions(of).resolve_job_def(job)
    tags = {"dagster/partition": stem} | settings.pop("tags", {})
    instance.create_run_for_job(definition, tags=definition.run_tags | tags, **settings)


def running(instance: dg.DagsterInstance, *projects: Project) -> list[set[str]]:
    return [busy_keys(ProjectNames.of(of).slides, instance) for of in projects]


def test_runs_under_way_are_those_of_the_project(tmp_path, instance):
    projects = [lab(tmp_path, name, "s") for name in (KIDNEY, LUNG, None)]
    for of, stem in zip(projects, ("of_kidney", "of_lung", "of_none"), strict=True):
        queue(of, instance, sensor(of, "process_slides"), stem)

    assert running(instance, *projects) == [{"of_kidney"}, {"of_lung"}, {"of_none"}]


def test_runs_launched_from_the_page_of_an_asset_are_told_by_their_assets(tmp_path, instance):
    geometry = [GEOMETRY, GEOMETRY | {"name": "fine"}]
    projects = [lab(tmp_path, name, "s", geometry=geometry) for name in (KIDNEY, LUNG, None)]
    for of in projects:
        names = ProjectNames.of(of)
        for asset in ("tissue_mask", "fine/patch_coords"):
            job = build_definitions(of).resolve_implicit_global_asset_job_def()
            selected = job.get_subset(asset_selection={names.asset_key(asset)})
            tags = {"dagster/partition": f"{asset} of {of.name}"}
            instance.create_run_for_job(selected, tags=tags, asset_selection={names.asset_key(asset)})

    expected = [{f"{asset} of {of.name}" for asset in ("tissue_mask", "fine/patch_coords")} for of in projects]
    assert running(instance, *projects) == expected


@pytest.mark.parametrize("failed", [KIDNEY, LUNG, None])
def test_slides_of_a_run_in_vain_are_asked_for_again_by_its_own_project_alone(tmp_path, instance, monkeypatch, failed):
    monkeypatch.setattr("atlaspatch_assets.lib.vain_runs.FIRST_PAUSE", 0.0)
    projects = [lab(tmp_path, name, "s") for name in (KIDNEY, LUNG, None)]
    for of in projects:
        (request,) = tick(of, instance, sensor(of, "new_slides")).run_requests
        status = dg.DagsterRunStatus.FAILURE if of.name == failed else dg.DagsterRunStatus.SUCCESS
        tags = {**request.tags, "dagster/run_key": request.run_key}
        queue(of, instance, request.job_name, "s", tags=tags, run_config=request.run_config, status=status)

    nothing_changed = ArrivalCursor(watermark=time.time() + 60).text
    asked = [tick(of, instance, sensor(of, "new_slides"), nothing_changed).run_requests for of in projects]

    assert [len(of) for of in asked] == [of.name == failed for of in projects]


def test_a_run_of_one_project_is_no_answer_to_what_another_asks(tmp_path, instance):
    (tmp_path / "both").mkdir()
    paint(tmp_path / "both", "s")
    shared = {"slides": {"folders": [tmp_path / "both"]}}
    projects = [lab(tmp_path, name, **shared) for name in (KIDNEY, LUNG, None)]

    asked = []
    for of in projects:
        found = tick(of, instance, sensor(of, "new_slides"))
        asked += [request.run_key for request in found.run_requests]
        assert carry_out(of, instance, found) == [sensor(of, "process_slides")]

    assert len(set(asked)) == 3
    assert [states(of, instance) for of in projects] == [{"s": {State.FRESH}}] * 3


def test_runs_of_the_command_line_carry_the_name(tmp_path, instance):
    of = lab(tmp_path, KIDNEY, "s")

    make(of, instance, "s")

    (made,) = instance.get_runs()
    assert (made.job_name, made.tags[PROJECT_TAG]) == ("kidney__process_slides", KIDNEY)
