"""What the page of a slide's partition says: the run that is about it, and why it failed, however it was started."""

import re
import time

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from names_in_dagster import tick
from small_projects import break_slide, failed_slides, last, paint, project, run

from atlaspatch_assets.cli.unfinished_runs import describe_unfinished_runs
from atlaspatch_assets.dagster_internals import last_verdicts
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe

SLIDE, COORDS = dg.AssetKey("slide"), dg.AssetKey("patch_coords")
SLIDES = ProjectNames().slides


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def observed(instance: dg.DagsterInstance, key: dg.AssetKey, stem: str) -> list[dict]:
    """Return what the observations of a partition say, the latest first."""
    asked = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[stem])
    events = [record.asset_observation for record in instance.fetch_observations(asked, limit=9).records]
    return [{name: entry.value for name, entry in event.metadata.items()} for event in events if event]


def statuses(instance: dg.DagsterInstance, key: dg.AssetKey, *stems: str) -> list[str]:
    """Return what the list of partitions shows."""
    shown = instance.get_status_by_partition(key, list(stems), SLIDES.definition) or {}
    return [status.value if status else "missing" for status in map(shown.get, stems)]


def in_a_batch(of: Project, instance: dg.DagsterInstance, stems: list[str]) -> dg.ExecuteInProcessResult:
    return run(of, instance, stems)


def in_a_range(of: Project, instance: dg.DagsterInstance, stems: list[str]) -> dg.ExecuteInProcessResult:
    """Run as a backfill of the UI does: a range of neighbours."""
    SLIDES.register(instance, stems)
    ends = {"dagster/asset_partition_range_start": stems[0], "dagster/asset_partition_range_end": stems[-1]}
    job = build_definitions(of).resolve_job_def("process_slides")
    return job.execute_in_process(instance=instance, tags=ends, raise_on_error=False)


@pytest.mark.parametrize("start", [in_a_batch, in_a_range])
def test_the_page_of_a_failed_slide_says_why_when_in_which_run_and_what_mends_it(tmp_path, instance, start):
    since = time.time()
    paint(tmp_path / "slides", "first", "last")
    break_slide(tmp_path / "slides", "broken")

    result = start(project(tmp_path), instance, ["first", "broken", "last"])

    (slide,), (coords,) = observed(instance, SLIDE, "broken"), observed(instance, COORDS, "broken")
    assert "broken" in slide["reason"]
    assert (slide["status"], slide["run"]) == ("failed", result.run_id)
    assert since <= slide["time"] <= time.time()
    assert "'atlaspatch backfill --failed'" in slide["cure"]
    assert coords["status"] == "skipped"
    assert coords["reason"].endswith(slide["reason"])
    assert observed(instance, SLIDE, "first") == []
    for key in (SLIDE, COORDS):
        assert statuses(instance, key, "first", "broken", "last") == ["MATERIALIZED", "FAILED", "MATERIALIZED"]


def test_a_mended_slide_has_a_materialisation_after_what_said_that_it_failed(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    break_slide(tmp_path / "slides", "broken")
    run(project(tmp_path), instance, ["first", "broken"])
    paint(tmp_path / "slides", "broken")
    assert run(project(tmp_path), instance, ["first", "broken"]).success
    assert statuses(instance, SLIDE, "broken") == ["MATERIALIZED"]
    assert len(observed(instance, SLIDE, "broken")) == 1


@pytest.mark.parametrize("start", [in_a_batch, in_a_range])
def test_the_run_of_a_batch_is_found_by_every_slide_and_shown_on_its_page(tmp_path, instance, start):
    stems = ["first", "with space", "the third"]
    paint(tmp_path / "slides", *stems)
    result = start(project(tmp_path), instance, stems)
    for stem in stems:
        (shown,) = instance.get_runs(filters=dg.RunsFilter(tags=SLIDES.run_tags([stem])))
        planned = instance.get_latest_planned_materialization_info(COORDS, partition=stem)
        assert shown.run_id == result.run_id
        assert planned
        assert planned.run_id == result.run_id


def test_status_names_the_run_of_every_slide_that_is_on_its_way(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    of, request = project(tmp_path), SLIDES.request(["a", "b"], "key")
    job = build_definitions(of).resolve_job_def("process_slides")
    tags = {**request.tags, "dagster/partition": "a"}
    started = instance.create_run_for_job(
        job, run_config=dict(request.run_config), tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    assert describe_unfinished_runs(make_recipe(of), instance) == {
        f"run {started.run_id[:8]} of Dagster, started": ["a", "b"]
    }
    instance.report_run_canceled(started)
    assert describe_unfinished_runs(make_recipe(of), instance) == {}


def test_a_request_is_found_by_its_slides_while_it_is_queued():
    assert SLIDES.request(["a", "b c"], "key").tags.items() >= {"slide/a": "a"}.items()
    assert "b c" in SLIDES.request(["a", "b c"], "key").tags.values()


@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=20, unique=True))
def test_every_set_of_slides_has_as_many_tags_and_dagster_takes_them(stems):
    tags = SLIDES.run_tags(stems)
    assert sorted(tags.values()) == sorted(stems)
    assert all(re.fullmatch(r"slide/[A-Za-z0-9_.-]{1,63}", tag) for tag in tags)


def test_the_page_of_a_slide_that_no_run_was_asked_for_says_why(tmp_path, instance, files_at_rest):
    """It shows no event without a materialisation but those of the latest run that planned one."""
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path)
    assert not tick(of, instance, "new_slides").run_requests
    (slide,) = observed(instance, SLIDE, "broken")
    assert slide["status"] == "failed"
    assert "broken" in slide["reason"]
    assert "Mend or replace the file" in slide["cure"]
    planned = instance.get_latest_planned_materialization_info(SLIDE, partition="broken")
    (reason,) = instance.fetch_observations(SLIDE, limit=9).records
    assert planned
    assert reason.run_id == planned.run_id
    assert statuses(instance, SLIDE, "broken") == ["FAILED"]

    paint(tmp_path / "slides", "broken")
    (asked,) = tick(of, instance, "new_slides").run_requests
    assert run(of, instance, ["broken"]).success
    assert asked.partition_key == "broken"
    assert statuses(instance, SLIDE, "broken") == ["MATERIALIZED"]


@pytest.mark.parametrize("start", [in_a_batch, in_a_range])
def test_a_slide_whose_file_is_gone_is_skipped_with_the_reason(tmp_path, instance, start):
    paint(tmp_path / "slides", "a", "gone", "z")
    assert start(project(tmp_path), instance, ["a", "gone", "z"]).success
    before = last(instance, "patch_coords", "gone").asset_materialization
    (tmp_path / "slides" / "gone.svs").unlink()

    result = start(project(tmp_path), instance, ["a", "gone", "z"])

    assert result.success
    for key in (SLIDE, COORDS):
        (skipped,) = observed(instance, key, "gone")
        assert skipped["status"] == "skipped"
        assert "its file is gone" in skipped["reason"]
        assert skipped["run"] == result.run_id
        assert "retire_slides" in skipped["cure"]
        assert statuses(instance, key, "a", "gone", "z") == ["MATERIALIZED"] * 3
    after = last(instance, "patch_coords", "gone").asset_materialization
    assert before
    assert after
    assert after.tags == before.tags
    check = dg.AssetCheckKey(SLIDE, "processed")
    assert last_verdicts(instance, check, ["gone"]).get("gone", True)
    assert {validity.state for validity in recorded_validities(make_recipe(project(tmp_path)), instance)} == {"fresh"}


def test_beside_a_slide_that_fails_a_gone_one_is_as_it_was(tmp_path, instance):
    paint(tmp_path / "slides", "gone", "was bad")
    break_slide(tmp_path / "slides", "bad")
    break_slide(tmp_path / "slides", "was bad")
    in_a_range(project(tmp_path), instance, ["bad", "gone", "was bad"])
    for stem in ("gone", "was bad"):
        (tmp_path / "slides" / f"{stem}.svs").unlink()

    result = in_a_range(project(tmp_path), instance, ["bad", "gone", "was bad"])

    assert set(failed_slides(result)) == {"bad"}
    assert statuses(instance, SLIDE, "gone") == ["MATERIALIZED"]
    verdicts = last_verdicts(instance, dg.AssetCheckKey(SLIDE, "processed"))
    assert verdicts == {"bad": False, "gone": True, "was bad": False}
    assert observed(instance, SLIDE, "was bad")[0]["status"] == "skipped"


def test_a_partition_that_never_had_a_file_is_missing_and_its_page_says_why(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    assert in_a_range(project(tmp_path), instance, ["a", "never"]).success
    assert statuses(instance, SLIDE, "a", "never") == ["MATERIALIZED", "missing"]
    assert (
        f"its file is gone: no slide of this name in {tmp_path / 'slides'}"
        in observed(instance, SLIDE, "never")[0]["reason"]
    )
