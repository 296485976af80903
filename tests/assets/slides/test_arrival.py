"""The sensor: slides that come, change, go, and those that cannot be used."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import tifffile
from painting import paint_slide, stain, white
from small_projects import break_slide, create_runs, paint, project, run, said

from atlaspatch_assets.dagster_internals import VERDICTS_JOB
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.slides import arrival, refusals, sensors
from atlaspatch_assets.lib import vain_runs
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.arrival import ArrivalCursor

pytestmark = pytest.mark.usefixtures("files_at_rest")


@pytest.fixture
def instance(tmp_path, open_instance):
    with open_instance(tmp_path / "dagster") as instance:
        yield instance


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return dagster_home()


@dataclass
class Tick:
    """What a tick gave, and the verdicts that it recorded by itself."""

    data: Any
    asset_events: list[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)


def tick(of: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> Tick:
    """Evaluate the sensor once, and store what it asks to be stored, as Dagster's daemon does."""
    defs = build_definitions(of)
    before = {run.run_id for run in instance.get_runs()}
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=defs, cursor=cursor) as context:
        found = defs.resolve_sensor_def("new_slides").evaluate_tick(context)
    for event in found.asset_events:
        instance.report_runless_asset_event(event)
    verdicts = [
        event for run in instance.get_runs() if run.run_id not in before for event in verdicts_of(instance, run)
    ]
    for request in found.dynamic_partitions_requests or ():
        change(instance, request)
    return Tick(found, [*verdicts, *found.asset_events])


def verdicts_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.AssetCheckEvaluation]:
    """Return the verdicts that the sensor recorded in a run of their own."""
    logs = instance.all_logs(run.run_id) if run.job_name == VERDICTS_JOB else ()
    return [log.dagster_event.asset_check_evaluation_data for log in logs if log.dagster_event]


def change(instance, request) -> None:
    if isinstance(request, dg.AddDynamicPartitionsRequest):
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return
    for key in request.partition_keys:
        instance.delete_dynamic_partition(request.partitions_def_name, key)


def slides_of(request: dg.RunRequest) -> list[str]:
    return request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"]


def asked(found) -> list[list[str]]:
    return [slides_of(request) for request in found.run_requests]


def reasons(found) -> dict[str, str]:
    """Return slide to the reason of its failed check."""
    checks = [event for event in found.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    assert all(not check.passed and check.check_name == "processed" for check in checks)
    return {str(check.partition): str(check.metadata["reason"].value) for check in checks}


def removals(found) -> dict[str, bool]:
    seen = [event for event in found.asset_events if isinstance(event, dg.AssetObservation)]
    marks = [event for event in seen if "removed" in event.metadata]
    return {str(event.partition): bool(event.metadata["removed"].value) for event in marks}


def test_new_slides_are_registered_and_asked_for_in_batches(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b", "c")

    found = tick(project(tmp_path, runtime={"slides_per_run": 2}), instance)

    assert asked(found) == [["a", "b"], ["c"]]
    assert [request.partition_key for request in found.run_requests] == ["a", "c"]
    assert len({request.run_key for request in found.run_requests}) == 2
    assert instance.get_dynamic_partitions("slides") == ["a", "b", "c"]


def test_a_second_tick_asks_for_nothing_and_a_third_for_what_came_since(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    first = tick(of, instance)
    run(of, instance, ["a"])

    second = tick(of, instance, first.cursor)
    paint(tmp_path / "slides", "b")
    third = tick(of, instance, second.cursor)

    assert second.run_requests == []
    assert second.skip_message == "nothing new: 1 slide"
    assert asked(third) == [["b"]]


def test_a_lost_cursor_asks_for_nothing_that_was_done(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path)
    tick(of, instance)
    run(of, instance, ["a"])

    found = tick(of, instance, cursor=None)

    assert (found.run_requests, found.asset_events) == ([], [])


def test_a_file_that_is_still_being_copied_waits(tmp_path, instance, monkeypatch):
    paint(tmp_path / "slides", "fresh")
    monkeypatch.setattr(sensors, "SECONDS_AT_REST", 30.0)

    found = tick(project(tmp_path), instance)

    assert found.skip_message == "1 slide being copied, or processed already"
    assert instance.get_dynamic_partitions("slides") == []


def test_what_one_tick_cannot_take_comes_with_the_next(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(arrival, "MOST_RUNS_PER_TICK", 2)
    paint(tmp_path / "slides", *"abcde")
    of = project(tmp_path, runtime={"slides_per_run": 2})

    first = tick(of, instance)
    create_runs(of, instance, first.run_requests)
    second = tick(of, instance, first.cursor)

    assert asked(first) == [["a", "b"], ["c", "d"]]
    assert asked(second) == [["e"]]


def test_a_slide_that_does_not_open_fails_once_and_is_tried_when_it_changes(tmp_path, instance):
    """A slide that does not open fails its check once and is tried again when it changes."""
    paint(tmp_path / "slides", "good")
    break_slide(tmp_path / "slides", "bad")
    of = project(tmp_path)

    first = tick(of, instance)
    run(of, instance, ["good"])
    second = tick(of, instance, first.cursor)
    paint(tmp_path / "slides", "bad")
    third = tick(of, instance, second.cursor)

    assert asked(first) == [["good"]]
    assert list(reasons(first)) == ["bad"]
    assert "bad" in instance.get_dynamic_partitions("slides")
    assert (second.run_requests, second.asset_events) == ([], [])
    assert asked(third) == [["bad"]]


def test_a_slide_may_be_refused_time_and_again_for_one_reason_and_another(tmp_path, instance):
    paint(tmp_path / "slides", "good")
    break_slide(tmp_path / "slides", "bad")
    of = project(tmp_path)
    run(of, instance, ["good"])

    first = tick(of, instance)
    (tmp_path / "slides" / "bad.svs").write_bytes(b"no slide either")
    second = tick(of, instance, first.cursor)
    shutil.copy(tmp_path / "slides" / "good.svs", tmp_path / "slides" / "bad.tif")
    third = tick(of, instance, second.cursor)
    (tmp_path / "slides" / "bad.svs").unlink()
    fourth = tick(of, instance, third.cursor)

    assert [list(reasons(found)) for found in (first, second, third)] == [["bad"]] * 3
    assert "bad.tif" in reasons(third)["bad"]
    assert asked(fourth) == [["bad"]]
    assert refusals.failed_slides(ProjectNames(), instance) == {"bad"}
    assert run(of, instance, ["bad"]).success
    assert refusals.failed_slides(ProjectNames(), instance) == set()


def test_a_slide_of_an_impossible_scale_fails_until_the_table_states_another(tmp_path, instance):
    """A slide of an impossible scale fails its check until the table states another."""
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "odd.svs", stain(white(512, 512), 128, 128, 256, 256), mpp=500)
    first = tick(project(tmp_path), instance)

    (tmp_path / "mpp.csv").write_text("wsi,mpp\nodd.svs,0.5\n")
    stated = project(tmp_path, slides={"folders": [tmp_path / "slides"], "mpp_csv": tmp_path / "mpp.csv"})
    second = tick(stated, instance, first.cursor)

    assert "500" in reasons(first)["odd"]
    assert asked(second) == [["odd"]]


def test_two_files_of_one_stem_fail_their_check_and_run_once_one_is_gone(tmp_path, instance):
    """Two files of one stem fail their check with both names and run once one is gone."""
    paint(tmp_path / "slides", "twin", "other")
    shutil.copy(tmp_path / "slides" / "twin.svs", tmp_path / "slides" / "twin.tif")
    of = project(tmp_path)

    first = tick(of, instance)
    run(of, instance, ["other"])
    second = tick(of, instance, first.cursor)
    (tmp_path / "slides" / "twin.tif").unlink()
    third = tick(of, instance, second.cursor)

    assert asked(first) == [["other"]]
    assert all(name in reasons(first)["twin"] for name in ("twin.svs", "twin.tif"))
    assert second.asset_events == []
    assert second.skip_message.startswith("1 slide in two files of one stem")
    assert asked(third) == [["twin"]]


def test_a_replaced_slide_is_asked_for_again_under_another_run_key(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    first = tick(of, instance)
    run(of, instance, ["a"])

    paint_slide(tmp_path / "slides" / "a.svs", stain(white(768, 768), 128, 128, 256, 256))
    second = tick(of, instance, first.cursor)

    assert asked(second) == [["a"]]
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_a_slide_whose_run_has_not_ended_is_not_asked_for_again(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    create_runs(of, instance, tick(of, instance).run_requests)

    assert tick(of, instance).run_requests == []


@pytest.mark.e2e
def test_a_slide_whose_run_died_is_asked_for_again_after_a_pause_and_not_forever(tmp_path, instance, monkeypatch):
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path, runtime={"slides_per_run": 1})
    found = tick(of, instance)
    run(of, instance, ["b"])
    long_settled = ArrivalCursor(watermark=time.time() + 3600).text
    keys = set()
    for _ in range(vain_runs.MOST_ATTEMPTS):
        for died in create_runs(of, instance, found.run_requests):
            instance.report_run_failed(died)
        keys |= {request.run_key for request in found.run_requests if request.partition_key == "a"}

        paused = tick(of, instance, long_settled)
        assert paused.run_requests == []
        assert paused.skip_message.startswith("1 slide put off: their run was cancelled, or ended before")
        with monkeypatch.context() as later:
            later.setattr(vain_runs, "FIRST_PAUSE", 0.0)
            found = tick(of, instance, long_settled)
        assert asked(found) == ([["a"]] if len(keys) < vain_runs.MOST_ATTEMPTS else [])

    assert len(keys) == vain_runs.MOST_ATTEMPTS


def test_a_slide_whose_run_a_person_cancelled_is_not_asked_for_again(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(vain_runs, "FIRST_PAUSE", 0.0)
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path, runtime={"slides_per_run": 1})
    first = tick(of, instance)
    launched = create_runs(of, instance, first.run_requests)
    run(of, instance, ["b"])
    for it in launched:
        instance.report_run_canceled(it)

    second = tick(of, instance, first.cursor)

    assert second.run_requests == []
    assert second.skip_message.startswith("1 slide put off")


def test_a_retired_slide_that_returns_is_asked_for_again(tmp_path, instance, monkeypatch):
    monkeypatch.setattr(vain_runs, "FIRST_PAUSE", 0.0)
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    first = tick(of, instance)
    (launched,) = create_runs(of, instance, first.run_requests)
    run(of, instance, ["a"])
    instance.report_run_failed(launched)
    instance.delete_dynamic_partition("slides", "a")

    second = tick(of, instance, first.cursor)

    assert asked(second) == [["a"]]
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_a_removed_slide_is_marked_once_and_unmarked_when_it_returns(tmp_path, instance):
    """A removed slide is marked once keeps its partition and is unmarked when it returns."""
    paint(tmp_path / "slides", "gone", "here")
    of = project(tmp_path)
    first = tick(of, instance)
    run(of, instance, ["gone", "here"])

    away = (tmp_path / "slides" / "gone.svs").rename(tmp_path / "gone.svs")
    second = tick(of, instance, first.cursor)
    third = tick(of, instance, second.cursor)
    away.rename(tmp_path / "slides" / "gone.svs")
    fourth = tick(of, instance, third.cursor)

    assert removals(second) == {"gone": True}
    assert third.asset_events == []
    assert instance.get_dynamic_partitions("slides") == ["gone", "here"]
    assert removals(fourth) == {"gone": False}
    assert fourth.run_requests == []


def test_a_folder_that_lost_most_of_its_slides_is_storage_that_went_and_marks_none(tmp_path, instance):
    stems = [f"s{number:02}" for number in range(14)]
    put(tmp_path / "slides", *stems)
    instance.add_dynamic_partitions("slides", stems)
    for stem in stems[1:]:
        (tmp_path / "slides" / f"{stem}.svs").unlink()

    found = tick(project(tmp_path), instance)

    assert removals(found) == {}
    assert found.skip_message.startswith("13 slides are gone at once")


def test_no_slide_is_taken_for_gone_while_a_folder_cannot_be_looked_into(tmp_path, instance, monkeypatch):
    put(tmp_path / "slides", "here")
    put(tmp_path / "slides" / "sub", "unseen")
    of = project(tmp_path, slides={"folders": [tmp_path / "slides"], "recursive": True})
    instance.add_dynamic_partitions("slides", ["here", "unseen"])
    fail_to_list(monkeypatch, tmp_path / "slides" / "sub")

    found = tick(of, instance)

    assert removals(found) == {}
    assert "nothing is taken for gone: " in found.skip_message
    assert "sub: cannot be listed (Input/output error)" in found.skip_message


def test_a_slide_that_leaves_the_list_is_gone(tmp_path, instance):
    put(tmp_path / "slides", "a", "b")
    table = tmp_path / "list.csv"
    of = project(tmp_path, slides={"folders": [tmp_path / "slides"], "slide_list": table})
    instance.add_dynamic_partitions("slides", ["a", "b"])
    table.write_text("wsi\na.svs\n")

    assert removals(tick(of, instance)) == {"b": True}


def fail_to_list(monkeypatch, folder: Path) -> None:
    """Let a folder fail when it is listed, as storage does; root may list every folder, so no mode will do."""
    real = os.scandir

    def scandir(path):
        if Path(path) == folder:
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_is_not_there_is_the_reason_to_skip(tmp_path, instance):
    found = tick(project(tmp_path), instance)

    assert str(tmp_path / "slides") in found.skip_message


def test_the_first_runs_of_a_new_home_wait_for_each_other_within_a_set_limit(tmp_path, home):
    """The first runs of a new home wait for each other and a limit that was set stays."""
    paint(tmp_path / "slides", "a")
    with dg.DagsterInstance.get() as instance:
        tick(project(tmp_path), instance)
        first = instance.event_log_storage.get_concurrency_info("gpu").slot_count
        instance.event_log_storage.set_concurrency_slots("gpu", 4)
        tick(project(tmp_path), instance)
        second = instance.event_log_storage.get_concurrency_info("gpu").slot_count

    assert (first, second) == (1, 4)


def put(folder: Path, *stems: str) -> None:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        (folder / f"{stem}.svs").write_bytes(b"")
        os.utime(folder / f"{stem}.svs", (1, 1))


def test_sections_of_a_file_are_partitions_of_their_own(tmp_path, instance):
    """Each is asked for, computed and seen as removed by its own stem."""
    paint(tmp_path / "slides", "b")
    with tifffile.TiffWriter(tmp_path / "slides" / "a.ome.tif", ome=True) as writer:
        for width in (1024, 900):
            about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            writer.write(stain(white(width, 1024), 256, 256, 512, 512), photometric="rgb", metadata=about)
    of = project(tmp_path, slides={"folders": [tmp_path / "slides"], "series": "all"})
    (stems,) = asked(tick(of, instance))
    assert sorted(stems) == ["a_series0", "a_series1", "b"]
    assert sorted(instance.get_dynamic_partitions("slides")) == ["a_series0", "a_series1", "b"]
    assert run(of, instance, stems).success
    assert {said(instance, "slide", stem)["width"] for stem in ("a_series0", "a_series1")} == {1024, 900}
    (tmp_path / "slides" / "a.ome.tif").unlink()
    assert removals(tick(of, instance)) == {"a_series0": True, "a_series1": True}
