"""The sensor that sees outlines which a person saved."""

import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest
from prepared import PreparedFolder
from small_projects import paint, project, run, said

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.masks import sensors as edits
from atlaspatch_core.config.project import Project
from atlaspatch_core.storage.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory, open_instance) -> PreparedFolder:
    def prepare(folder: Path) -> None:
        paint(folder / "slides", "a", "b", "c")
        with open_instance(folder / "dagster") as instance:
            assert run(project_in(folder), instance, ["a", "b", "c"]).success

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def of(finished, monkeypatch) -> Project:
    """Three finished slides, in a project whose sensor takes every file to be at rest."""
    monkeypatch.setattr(edits, "SECONDS_AT_REST", -1.0)
    return project_in(finished.put_back())


@pytest.fixture
def instance(of, open_instance):
    with open_instance(of.output.parent / "dagster") as instance:
        yield instance


def project_in(folder: Path) -> Project:
    return project(folder, runtime={"device": "cpu", "read_workers": 1, "slides_per_run": 2})


def geojson(of: Project, stem: str) -> Path:
    return of.output / "contours_geojson" / f"{stem}.geojson"


def edit(of: Project, stem: str, right: int = 512) -> None:
    """Save one square of tissue, as a person would."""
    ring = [[0, 0], [right, 0], [right, 512], [0, 512], [0, 0]]
    geojson(of, stem).write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))


def tick(of: Project, instance: dg.DagsterInstance, cursor: str | None = None):
    defs = build_definitions(of)
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=defs, cursor=cursor) as context:
        return defs.resolve_sensor_def("edited_masks").evaluate_tick(context)


def slides_of(request: dg.RunRequest) -> list[str]:
    return request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"]


@pytest.mark.quick
def test_our_own_masks_are_no_edits(of, instance):
    found = tick(of, instance)

    assert found.run_requests == []
    assert found.skip_message == "no outlines were edited"


def test_an_edited_mask_is_asked_for_once_from_the_mask_downward(of, instance):
    before = tick(of, instance).cursor
    edit(of, "b")

    first = tick(of, instance, before)
    second = tick(of, instance, first.cursor)

    assert [slides_of(request) for request in first.run_requests] == [["b"]]
    assert {key.to_user_string() for key in first.run_requests[0].asset_selection} == {"tissue_mask", "patch_coords"}
    assert {key.name for key in first.run_requests[0].asset_check_keys} == {"processed", "tissue_quality"}
    assert second.run_requests == []


def test_the_run_follows_the_edit_and_nothing_is_asked_for_after_it(of, instance):
    """The run that is asked for follows the edit and nothing is asked for after it."""
    edit(of, "b")
    (request,) = tick(of, instance).run_requests
    job = build_definitions(of).resolve_job_def("process_slides")

    assert job.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        run_config=request.run_config,
        asset_selection=request.asset_selection,
    ).success

    assert said(instance, "tissue_mask", "b")["edited"] == "true"
    assert said(instance, "patch_coords", "b")["status"] == "computed"
    assert said(instance, "patch_coords", "b")["patches"] == 4
    assert len(instance.fetch_materializations(dg.AssetKey("patch_coords"), limit=9).records) == 4
    assert tick(of, instance, tick(of, instance).cursor).run_requests == []


def test_another_edit_of_the_same_slide_is_another_run(of, instance):
    edit(of, "b")
    first = tick(of, instance)
    edit(of, "b", 256)
    second = tick(of, instance, first.cursor)

    assert [slides_of(request) for request in second.run_requests] == [["b"]]
    assert first.run_requests[0].run_key != second.run_requests[0].run_key


def test_without_its_cursor_the_sensor_asks_for_edited_slides_alone(of, instance):
    """Without its cursor the sensor asks for edited slides alone and under the same key."""
    edit(of, "b")
    edit(of, "c")

    first, second, third = tick(of, instance), tick(of, instance), tick(of, instance, "rubbish")

    assert [slides_of(request) for request in second.run_requests] == [["b", "c"]]
    assert len({found.run_requests[0].run_key for found in (first, second, third)}) == 1


def test_many_edits_come_in_batches_and_what_one_tick_cannot_take_with_the_next(of, instance, monkeypatch):
    for stem in "abc":
        edit(of, stem)
    together = tick(of, instance)
    monkeypatch.setattr(edits, "MOST_RECORDS_PER_TICK", 2)
    first = tick(of, instance)
    second = tick(of, instance, first.cursor)

    assert [slides_of(request) for request in together.run_requests] == [["a", "b"], ["c"]]
    assert [slides_of(it) for found in (first, second) for it in found.run_requests] == [["a", "b"], ["c"]]


def test_a_file_that_is_still_being_saved_waits(of, instance, monkeypatch):
    monkeypatch.setattr(edits, "SECONDS_AT_REST", 3600.0)
    edit(of, "b")

    first = tick(of, instance)
    monkeypatch.setattr(edits, "SECONDS_AT_REST", -1.0)
    second = tick(of, instance, first.cursor)

    assert first.run_requests == []
    assert [slides_of(request) for request in second.run_requests] == [["b"]]


def test_an_old_file_that_was_put_back_is_an_edit(of, instance):
    cursor = tick(of, instance).cursor
    edit(of, "b")
    os.utime(geojson(of, "b"), (1, 1))

    assert [slides_of(request) for request in tick(of, instance, cursor).run_requests] == [["b"]]


def test_a_deleted_file_brings_a_run_once_and_again_after_it_came_back(of, instance):
    cursor = tick(of, instance).cursor
    geojson(of, "b").unlink()

    first = tick(of, instance, cursor)
    second = tick(of, instance, first.cursor)
    run(of, instance, ["b"])
    geojson(of, "b").unlink()
    third = tick(of, instance, second.cursor)

    assert [slides_of(request) for request in first.run_requests] == [["b"]]
    assert second.run_requests == []
    assert [slides_of(request) for request in third.run_requests] == [["b"]]
    assert first.run_requests[0].run_key != third.run_requests[0].run_key


def test_files_of_slides_without_a_partition_are_left_to_the_sensor_for_new_slides(of, instance):
    edit(of, "stranger")

    assert tick(of, instance).run_requests == []


def test_a_project_without_output_has_no_edits(tmp_path, instance):
    assert tick(project(tmp_path), instance).run_requests == []


def test_times_are_those_of_the_clock(of):
    assert edits.scan_masks(edits.Store(of.output), {"a"}, edits.MaskCursor(), time.time_ns()).versions == {}


def test_outlines_that_were_taken_over_from_another_tool_are_no_edits(of, instance):
    geojson(of, "b").unlink()
    store = Store(of.output)
    assert store.write_foreign_outlines("b", geojson(of, "c").read_bytes(), "TRIDENT", "polygons")
    before = tick(of, instance)
    edit(of, "b")
    after = tick(of, instance, before.cursor)
    assert (before.run_requests, [slides_of(request) for request in after.run_requests]) == ([], [["b"]])
