"""The sensor that finds new slides."""

import os
from pathlib import Path

import dagster as dg
import pytest
from small_projects import paint, project

from atlaspatch_assets import sensors
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.home import dagster_home
from atlaspatch_core.project import Project


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return dagster_home()


def put(folder: Path, *names: str) -> None:
    """Lay files that were last changed long ago; the sensor opens none of them."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (1, 1))


def tick(of: Project, instance: dg.DagsterInstance):
    """Evaluate the sensor once, and register what it asks to be registered, as Dagster's daemon does."""
    defs = build_definitions(of)
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=defs) as context:
        found = defs.resolve_sensor_def("new_slides").evaluate_tick(context)
    for request in found.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return found


def slides_of(request: dg.RunRequest) -> list[str]:
    return request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"]


def test_new_slides_are_registered_and_asked_for_in_batches(tmp_path, instance):
    put(tmp_path / "slides", "a.svs", "b.svs", "c.svs")

    found = tick(project(tmp_path, runtime={"slides_per_run": 2}), instance)

    assert [slides_of(request) for request in found.run_requests] == [["a", "b"], ["c"]]
    assert [request.partition_key for request in found.run_requests] == ["a", "c"]
    assert len({request.run_key for request in found.run_requests}) == 2
    assert instance.get_dynamic_partitions("slides") == ["a", "b", "c"]


def test_a_second_tick_asks_for_nothing_and_a_third_for_what_came_since(tmp_path, instance):
    put(tmp_path / "slides", "a.svs")
    tick(project(tmp_path), instance)

    second = tick(project(tmp_path), instance)
    put(tmp_path / "slides", "b.svs")
    third = tick(project(tmp_path), instance)

    assert second.run_requests == []
    assert second.skip_message == "all 1 slides are known"
    assert [slides_of(request) for request in third.run_requests] == [["b"]]


def test_a_file_that_is_still_being_copied_waits(tmp_path, instance):
    paint(tmp_path / "slides", "fresh")

    first = tick(project(tmp_path), instance)
    os.utime(tmp_path / "slides" / "fresh.svs", (1, 1))
    second = tick(project(tmp_path), instance)

    assert first.skip_message == "1 slides are new but changed in the last 30 s"
    assert [slides_of(request) for request in second.run_requests] == [["fresh"]]


def test_what_one_tick_cannot_take_comes_with_the_next(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(sensors, "MOST_RUNS_PER_TICK", 2)
    put(tmp_path / "slides", *(f"{name}.svs" for name in "abcde"))
    of = project(tmp_path, runtime={"slides_per_run": 2})

    asked = [[slides_of(request) for request in tick(of, instance).run_requests] for _ in range(3)]

    assert asked == [[["a", "b"], ["c", "d"]], [["e"]], []]


def test_two_files_of_one_stem_are_never_run_and_named(tmp_path, instance):
    put(tmp_path / "slides", "twin.svs", "twin.tif", "other.svs")

    first, second = tick(project(tmp_path), instance), tick(project(tmp_path), instance)

    assert [slides_of(request) for request in first.run_requests] == [["other"]]
    assert "twin.svs" in second.skip_message
    assert "twin.tif" in second.skip_message


def test_a_folder_that_is_not_there_is_the_reason_to_skip(tmp_path, instance):
    found = tick(project(tmp_path), instance)

    assert str(tmp_path / "slides") in found.skip_message


def test_the_first_runs_of_a_new_home_wait_for_each_other_and_a_limit_that_was_set_stays(tmp_path, home):
    with dg.DagsterInstance.get() as instance:
        tick(project(tmp_path), instance)
        first = instance.event_log_storage.get_concurrency_info("gpu").slot_count
        instance.event_log_storage.set_concurrency_slots("gpu", 4)
        tick(project(tmp_path), instance)
        second = instance.event_log_storage.get_concurrency_info("gpu").slot_count

    assert (first, second) == (1, 4)
