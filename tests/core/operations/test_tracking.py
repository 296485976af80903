"""What is recorded of runs and slides, by real runs over painted slides."""

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from plugins import plugin_file
from tracked_folders import PLUGIN, encode, paint, runs_of, state_of

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.operations.tracking.folder import SlideState, StateFolder, read_states, totals
from atlaspatch_core.operations.tracking.runs import live_and_latest
from atlaspatch_core.operations.tracking.states import MOST_ATTEMPTS, state_path
from atlaspatch_core.operations.tracking.summary import section
from atlaspatch_core.operations.tracking.tracker import Command, Tracker
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.file_index import FileIndex, list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, make_recipe

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}")
COORDS = OutputKey("patch_coords")
FEATURES = OutputKey("patch_features", "tiny")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """The output folder of one run over two slides."""
    paint(tmp_path / "slides", "a", "b")
    result = encode(tmp_path)
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


def two_geometries(folder: Path) -> Project:
    geometry = {"target_mag": 20, "patch_encoders": ["tiny"], "precision": "float32"}
    values = {
        "output": folder / "out",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [{"name": f"20x_{size}px", "patch_size": size, **geometry} for size in (256, 512)],
        "plugins": [plugin_file(PLUGIN)],
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_project(values, origin="test")


def track(project: Project) -> None:
    found = find_slides(project)
    with Tracker(project, found, Command("test", {})) as tracker:
        for outcome in process(found.sources, make_recipe(project)):
            tracker.record_outcome(outcome)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_run_records_who_ran_what_and_how_it_ended(finished):
    (run,) = runs_of(finished)

    assert re.fullmatch(r"[0-9a-f]{12}", run["run_id"])
    assert (finished / "runs" / f"{run['run_id']}.json").is_file()
    assert (run["tool"], run["status"], run["error"]) == ("encode-slide", "completed", None)
    assert (run["pid"], run["job_dir"]) == (os.getpid(), str(finished))
    assert run["args"]["patch_size"] == 256
    assert run["args"]["patch_encoders"] == ["tiny"]
    assert run["args"]["wsi_path"] == str(finished.parent / "slides") or run["args"]["wsi_path"] == [
        str(finished.parent / "slides")
    ]
    assert all(TIME.fullmatch(run[name]) for name in ("started_at", "finished_at"))
    assert run["slides"] == {"total": 2, "begun": 2, "computed": 2, "reused": 0, "failed": 0}
    assert {"trident_version", "atlaspatch_version", "host"} <= run.keys()


def test_the_lock_of_a_run_is_gone_with_it_and_nothing_is_left_half_written(finished):
    left = sorted(path.name for path in (finished / ".locks" / "runs").iterdir())
    assert left == ["tracking.holder", "tracking.lock"]
    assert list(finished.rglob("*.tmp")) == []


def test_the_state_of_a_slide_is_under_the_hash_of_its_path(finished):
    """The state of a slide lies under the hash of its path and says what was made."""
    slide = finished.parent / "slides" / "a.svs"
    mark = hashlib.sha1(str(slide).encode()).hexdigest()[:12]
    state = json.loads((finished / "wsi_states" / f"a__{mark}.json").read_bytes())
    h5 = finished / "patches" / "a.h5"

    assert state["schema_version"] == 2
    assert state["slide"] == {
        "id": f"a.svs__{mark}",
        "name": "a",
        "ext": ".svs",
        "abs_path": str(slide),
        "rel_path": None,
        "reader_type": "openslide",
    }
    assert state["meta"] == {"dimensions": [1024, 1024], "mpp": 0.5, "mag": 20, "level_count": 2}
    assert list(state["tasks"]) == ["coords", "patch_features:tiny", "segmentation"]
    assert state["tasks"]["coords"]["outputs"]["coords_h5"] == {
        "path": str(h5),
        "exists": True,
        "bytes": h5.stat().st_size,
    }
    assert state["tasks"]["segmentation"]["outputs"]["contour_jpg"]["exists"] is True
    assert state["tasks"]["patch_features:tiny"]["outputs"].keys() == {"features_path", "coords_path"}
    assert state["summary"] == {
        "segmentation": "completed",
        "coords": "completed",
        "patch_features": {"tiny": "completed"},
        "slide_features": {},
    }
    assert state["resume"]["last_task"] == "patch_features:tiny"


def test_an_attempt_says_when_it_was_made_and_how_long_it_took(finished):
    (attempt,) = state_of(finished, "a")["tasks"]["coords"]["attempts"]

    assert attempt.keys() == {
        "attempt_id", "started_at", "started_epoch", "finished_at", "finished_epoch", "duration_s", "result", "error"
    }  # fmt: skip
    assert attempt["result"] == "completed"
    assert attempt["duration_s"] == pytest.approx(attempt["finished_epoch"] - attempt["started_epoch"], abs=1e-4)


def test_finished_slides_are_not_written_again(finished):
    before = contents(finished / "wsi_states")

    assert encode(finished.parent).exit_code == 0

    assert contents(finished / "wsi_states") == before
    assert [run["slides"]["reused"] for run in runs_of(finished)] == [0, 2]


def test_a_new_encoder_is_a_new_task_and_the_others_stand(finished):
    before = state_of(finished, "a")["tasks"]["coords"]["attempts"]

    encode(finished.parent, "--patch-encoders", "other")

    state = state_of(finished, "a")
    assert state["summary"]["patch_features"] == {"tiny": "completed", "other": "completed"}
    assert state["tasks"]["coords"]["attempts"] == before
    size = (finished / "patches" / "a.h5").stat().st_size
    assert state["tasks"]["coords"]["outputs"]["coords_h5"]["bytes"] == size


def test_results_that_no_state_tells_of_are_skipped_as_done_already(finished):
    shutil.rmtree(finished / "wsi_states")
    encode(finished.parent)
    state = state_of(finished, "a")
    before = contents(finished / "wsi_states")
    encode(finished.parent)

    assert state["summary"]["segmentation"] == "skipped (already_segmented)"
    assert state["summary"]["coords"] == "skipped (already_generated)"
    assert state["summary"]["patch_features"] == {"tiny": "skipped (already_extracted)"}
    assert state["tasks"]["coords"]["attempts"] == []
    assert contents(finished / "wsi_states") == before


def test_an_error_is_told_and_forgotten_when_it_is_mended(tmp_path):
    paint(tmp_path / "slides", "a")
    (tmp_path / "slides" / "b.svs").write_bytes(b"no slide")
    assert encode(tmp_path).exit_code == 1
    broken = state_of(tmp_path / "out", "b")
    paint(tmp_path / "slides", "b")
    assert encode(tmp_path).exit_code == 0
    mended = state_of(tmp_path / "out", "b")

    assert broken["summary"]["segmentation"] == "error"
    assert broken["summary"]["coords"] == "skipped (geojson_not_found)"
    assert broken["summary"]["patch_features"] == {"tiny": "skipped (coords_not_found)"}
    assert broken["resume"]["last_error"]["message"].startswith("b: b.svs")
    assert [attempt["result"] for attempt in mended["tasks"]["segmentation"]["attempts"]] == ["error", "completed"]
    assert [mended["tasks"][name]["reason"] for name in mended["tasks"]] == [None] * 3
    assert "last_error" not in mended["resume"]


def test_a_failure_that_stays_is_not_told_of_what_it_stops_twice(tmp_path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "b.svs").write_bytes(b"no slide")
    encode(tmp_path)
    encode(tmp_path)
    state = state_of(tmp_path / "out", "b")

    assert len(state["tasks"]["segmentation"]["attempts"]) == 2
    assert state["tasks"]["coords"]["attempts"] == []


def test_attempts_do_not_pile_up_for_ever(tmp_path):
    (tmp_path / "slides").mkdir()
    slide = tmp_path / "slides" / "a.svs"
    states = StateFolder(Store(tmp_path / "out"), several=False)
    for number in range(MOST_ATTEMPTS + 5):
        states.record_outcome(slide, Outcome("a", COORDS, Status.FAILED, why=f"a: failure {number}"))

    attempts = state_of(tmp_path / "out", "a")["tasks"]["coords"]["attempts"]
    assert len(attempts) == MOST_ATTEMPTS
    assert attempts[-1]["error"] == f"a: failure {MOST_ATTEMPTS + 4}"


def test_several_geometries_are_part_of_the_names_of_tasks(tmp_path):
    paint(tmp_path / "slides", "a")
    track(two_geometries(tmp_path))
    state = state_of(tmp_path / "out", "a")

    assert list(state["tasks"]) == [
        "coords:20x_256px",
        "coords:20x_512px",
        "patch_features:tiny:20x_256px",
        "patch_features:tiny:20x_512px",
        "segmentation",
    ]
    assert state["summary"]["patch_features"] == {"tiny:20x_256px": "completed", "tiny:20x_512px": "completed"}
    assert state["summary"]["coords"] == "completed"


def test_a_second_geometry_of_another_run_does_not_take_the_place_of_the_first(tmp_path):
    paint(tmp_path / "slides", "a")
    both = two_geometries(tmp_path)
    for geometry in both.geometry:
        track(both.model_copy(update={"geometry": (geometry,)}))
    tasks = state_of(tmp_path / "out", "a")["tasks"]

    assert tasks["coords"]["geometry"] == "20x_256px"
    assert tasks["coords:20x_512px"]["outputs"]["coords_h5"]["path"].endswith("20x_512px/patches/a.h5")


def test_the_state_of_a_slide_that_was_moved_goes_with_it(finished):
    attempts = state_of(finished, "a")["tasks"]["coords"]["attempts"]
    (finished.parent / "slides").rename(finished.parent / "archive")

    encode(finished.parent, slides=finished.parent / "archive")

    state = state_of(finished, "a")
    assert state["slide"]["abs_path"] == str(finished.parent / "archive" / "a.svs")
    assert state["tasks"]["coords"]["attempts"] == attempts
    assert state["summary"]["coords"] == "completed"


def test_slides_of_one_name_at_two_places_have_a_state_each_and_count_once(finished):
    paint(finished.parent / "elsewhere", "a")

    encode(finished.parent, slides=finished.parent / "elsewhere")

    assert len(list((finished / "wsi_states").glob("a__*.json"))) == 2
    assert totals(read_states(Store(finished)))["coords"].total() == 2


def test_two_runs_at_once_lose_nothing_of_each_other(tmp_path):
    slide = paint(tmp_path / "slides", "a") / "a.svs"
    one, other = (StateFolder(Store(tmp_path / "out"), several=False) for _ in range(2))
    looked = Outcome("a", SLIDE, Status.REUSED, "0" * 16, numbers={"mpp": 0.5})
    one.record_outcome(slide, looked)
    other.record_outcome(slide, looked)
    one.record_outcome(slide, Outcome("a", COORDS, Status.COMPUTED, "1" * 16))
    other.record_outcome(slide, Outcome("a", FEATURES, Status.COMPUTED, "2" * 16))
    one.close()
    other.close()

    state = state_of(tmp_path / "out", "a")
    assert state["tasks"].keys() == {"coords", "patch_features:tiny"}
    assert state["meta"] == {"mpp": 0.5}


def test_a_state_that_is_damaged_is_begun_anew(finished):
    (path,) = (finished / "wsi_states").glob("a__*.json")
    path.write_text('{"schema_version": 2, "tasks": []}')

    assert encode(finished.parent).exit_code == 0

    assert state_of(finished, "a")["summary"]["coords"] == "skipped (already_generated)"


def test_the_summary_gets_a_section_for_each_run_and_keeps_the_earlier_ones(finished):
    before = (finished / "summary.md").read_text()
    (finished.parent / "slides" / "c.svs").write_bytes(b"no slide")
    encode(finished.parent)
    text = (finished / "summary.md").read_text()
    added = text.removeprefix(before.rstrip())

    assert text.count("\n## ") == 2
    assert "slides of this run: 3 of 3: 2 reused, 1 failed" in added
    assert "  - coords: 2 completed, 1 skipped" in added
    assert "- errors (1):\n  - c: slide: c.svs is" in added
    assert f"run {runs_of(finished)[1]['run_id']} · completed" in added


def test_a_folder_that_cannot_be_written_stops_tracking_and_not_the_work(tmp_path):
    """A folder that cannot be written stops tracking with one warning and not the work."""
    paint(tmp_path / "slides", "a", "b")
    (tmp_path / "out").mkdir()
    for name in ("runs", "wsi_states"):
        (tmp_path / "out" / name).write_text("a file where a folder should be")

    result = encode(tmp_path)

    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "patches" / "b.h5").is_file()
    assert result.output.count("the run is not tracked") == 1


@pytest.mark.parametrize("output", ["file", "file/out"])
def test_an_output_that_cannot_be_made_is_one_sentence_before_any_work(tmp_path, output):
    paint(tmp_path / "slides", "b")
    (tmp_path / "file").write_text("")

    result = encode(tmp_path, "--output", str(tmp_path / output))

    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*: the folder cannot be made \(.*\); choose another output .*\n", result.output)


def test_wrong_usage_is_no_run(tmp_path):
    paint(tmp_path / "slides", "a")

    assert encode(tmp_path, "--slide-encoders", "nonsense").exit_code == 2

    assert not (tmp_path / "out").exists()


def test_a_run_that_breaks_says_how(tmp_path):
    paint(tmp_path / "slides", "a")
    project = two_geometries(tmp_path)

    with pytest.raises(ValueError, match="it broke"), Tracker(project, Discovery(()), Command("test", {})):
        raise ValueError("it broke")

    (run,) = runs_of(tmp_path / "out")
    assert (run["status"], run["error"]) == ("error", "ValueError: it broke")


def test_a_run_of_another_tool_is_believed(tmp_path):
    path = tmp_path / "runs" / "0123456789ab.json"
    path.parent.mkdir()
    path.write_text(
        json.dumps({"run_id": "0123456789ab", "status": "running", "started_at": "2026-01-01T00:00:00+0000"})
    )

    assert [run.status for run in live_and_latest(tmp_path)] == ["running"]


@pytest.mark.parametrize(("age_seconds", "status"), [(0, "running"), (3600, "killed")])
def test_a_run_on_another_machine_counts_as_killed_once_it_was_silent_for_long(tmp_path, age_seconds, status):
    path = tmp_path / "runs" / "0123456789ab.json"
    path.parent.mkdir()
    run = {"run_id": "0123456789ab", "status": "running", "host": "elsewhere", "atlaspatch_version": "0.1.0"}
    path.write_text(json.dumps(run | {"started_at": "2026-01-01T00:00:00+0000", "tool": "run", "pid": 1}))
    then = path.stat().st_mtime - age_seconds
    os.utime(path, (then, then))

    assert [run.status for run in live_and_latest(tmp_path)] == [status]
    assert json.loads(path.read_bytes())["status"] == status


@pytest.mark.parametrize(
    "damage",
    [
        {"meta": {"mpp": {"x": 0.5}}},
        {"tasks": {"coords": {"attempts": [], "outputs": {"coords_h5": None}}}},
        {"resume": {"last_error": "it broke"}},
        {"schema_version": 1},
    ],
)
def test_a_state_of_another_shape_stops_no_run(finished, damage):
    (path,) = (finished / "wsi_states").glob("a__*.json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | damage))

    result = encode(finished.parent)

    assert result.exit_code == 0, result.output
    assert state_of(finished, "a")["schema_version"] == 2


def test_what_a_killed_writer_left_is_swept_and_drafts_of_others_are_not(finished):
    ours = [
        finished / ".tracking-0.tmp",
        finished / "runs" / ".tracking-1.tmp",
        finished / "wsi_states" / ".tracking-2.tmp",
    ]
    theirs = finished / ".status.0.tmp"
    for draft in (*ours, theirs):
        draft.write_text("half")

    encode(finished.parent)

    assert [draft.exists() for draft in (*ours, theirs)] == [False, False, False, True]


@pytest.mark.parametrize("first", ["completed", "skipped", "error"])
def test_statuses_are_counted_in_one_order_whatever_slide_comes_first(first):
    statuses = [first, *(it for it in ("error", "completed", "skipped", "later") if it != first)]
    states = {stem: SlideState(stem, "", {"coords": status}, {}) for stem, status in zip("abcd", statuses, strict=True)}

    text = section({}, None, totals(states))

    assert "  - coords: 1 completed, 1 skipped, 1 error, 1 later" in text


def test_files_are_listed_by_name_whatever_the_file_system_says(tmp_path):
    for stem in ("c", "a", "d.e", "b"):
        (tmp_path / f"{stem}.json").touch()

    assert list(list_files(tmp_path, ".json")) == ["a", "b", "c", "d.e"]


def test_what_a_file_says_soon_after_it_changed_is_not_remembered(tmp_path, monkeypatch):
    """A clock may be as coarse as two seconds: another text of the same length then has the same time."""
    file = tmp_path / "a.json"
    index = FileIndex(tmp_path / "cache", Path.read_text, 1)

    def written(text: str, seconds_ago: int) -> str:
        file.write_text(text)
        os.utime(file, ns=(now - seconds_ago * 10**9,) * 2)
        return index.read_values(list_files(tmp_path, ".json"), lambda _: file)["a"]

    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    assert [written("one", 0), written("two", 0)] == ["one", "two"]
    assert [written("one", 60), written("two", 60)] == ["one", "one"]


def test_of_runs_that_ended_at_one_time_the_one_that_began_last_is_the_latest(tmp_path):
    (tmp_path / "runs").mkdir()
    for name, began in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        path = tmp_path / "runs" / f"{name}.json"
        path.write_text(json.dumps({"run_id": name, "status": "completed", "started_epoch": began}))
        os.utime(path, (5, 5))

    assert [run.run_id for run in live_and_latest(tmp_path)] == ["b"]


def test_of_two_states_of_one_second_the_later_file_counts(tmp_path):
    store = Store(tmp_path / "out")
    for number, folder in enumerate(("here", "there", "elsewhere")):
        StateFolder(store, several=False).record_outcome(
            tmp_path / folder / "a.svs", Outcome("a", COORDS, Status.FAILED, why=folder)
        )
        path = state_path(store.output, tmp_path / folder / "a.svs")
        path.write_text(re.sub(r'"updated_at": ".*?"', '"updated_at": "2026-01-01T00:00:00+0000"', path.read_text()))
        os.utime(path, (9 - number, 9 - number))

    assert read_states(store)["a"].errors == {"patch_coords": "here"}


def test_states_are_in_the_order_of_time_whatever_the_offset(tmp_path):
    store = Store(tmp_path / "out")
    for folder, at in (("before", "2026-10-25T02:50:00+0200"), ("after", "2026-10-25T02:10:00+0100")):
        slide = tmp_path / folder / "a.svs"
        StateFolder(store, several=False).record_outcome(slide, Outcome("a", COORDS, Status.FAILED, why=folder))
        path = state_path(store.output, slide)
        path.write_text(re.sub(r'"updated_at": ".*?"', f'"updated_at": "{at}"', path.read_text()))

    assert read_states(store)["a"].errors == {"patch_coords": "after"}
