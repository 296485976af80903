"""Checks that a backfill of the web UI announces are given by its runs, or by the job that comes later."""

import dagster as dg
import pytest
from small_projects import break_slide, paint, project, run

from atlaspatch_assets.dagster_internals import last_verdicts, pools_of_run
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_runs import busy_keys
from atlaspatch_core.config.project import Project

SLIDES = ProjectNames().slides
EVERY_CHECK = ("processed", "valid", "sound", "distinct")


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def backfill_job(of: Project) -> dg.JobDefinition:
    """Return what the web UI runs: all assets of slides, with every check of theirs."""
    defs = build_definitions(of)
    keys = {key for key in defs.resolve_asset_graph().get_all_asset_keys() if key.path[-1] != "coverage"}
    slides = {key for key in keys if key.path[0] in ("slide", "tissue_mask", "patch_coords", "patch_features")}
    embeddings = {key for key in keys if key.path[0] == "slide_embedding"}
    return defs.resolve_job_def("__ASSET_JOB").get_subset(asset_selection=slides | embeddings)


def neighbours(instance: dg.DagsterInstance, *stems: str) -> dict[str, str]:
    SLIDES.register(instance, stems)
    return {"dagster/asset_partition_range_start": stems[0], "dagster/asset_partition_range_end": stems[-1]}


def verdicts(of: Project, instance: dg.DagsterInstance, stem: str) -> dict[str, bool | None]:
    """Return check to the last verdict on a slide; None where one was announced and did not come."""
    checks = build_definitions(of).resolve_asset_graph().asset_check_keys
    last = {check.to_user_string(): last_verdicts(instance, check) for check in checks if check.name in EVERY_CHECK}
    return {check: passed[stem] for check, passed in last.items() if stem in passed}


def assert_given(passed: dict[str, bool | None]) -> None:
    """Hold that all checks were evaluated; painted slides have embeddings that are neither sound nor distinct."""
    assert {check for check, verdict in passed.items() if verdict is None} == set()
    good = {check for check in passed if check.endswith((":processed", ":valid"))}
    assert {passed[check] for check in good | {"slide:sound", "patch_coords:sound"}} == {True}


def test_a_backfill_of_the_ui_stands_in_the_pool_of_its_device_alone(tmp_path, instance):
    """Any other pool would let its runs go one after the other, however many devices there are."""
    paint(tmp_path / "slides", "first", "last")
    of = project(tmp_path, encoders=True)
    run = instance.create_run_for_job(backfill_job(of), tags=neighbours(instance, "first", "last"))

    assert pools_of_run(run) == {"gpu"}


def test_a_backfill_of_the_ui_gives_every_verdict_that_it_announced(tmp_path, instance):
    paint(tmp_path / "slides", "first", "last")
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path, encoders=True)
    tags = neighbours(instance, "first", "broken", "last")

    assert not backfill_job(of).execute_in_process(instance=instance, tags=tags, raise_on_error=False).success

    for good in ("first", "last"):
        assert len(verdicts(of, instance, good)) == 15
        assert_given(verdicts(of, instance, good))
    bad = verdicts(of, instance, "broken")
    assert True not in bad.values()
    assert {check for check, verdict in bad.items() if verdict is None} <= {
        check for check in bad if "processed" in check
    }


@pytest.mark.e2e
def test_what_a_dead_backfill_announced_is_cleared_by_check_validity(tmp_path, instance):
    paint(tmp_path / "slides", "first", "last")
    of = project(tmp_path, encoders=True)
    assert run(of, instance, ["first", "last"]).success
    tags = neighbours(instance, "first", "last")
    dead = instance.create_run_for_job(backfill_job(of), tags=tags, status=dg.DagsterRunStatus.STARTED)
    check_validity = build_definitions(of).resolve_job_def("check_validity")

    assert check_validity.execute_in_process(instance=instance).success
    assert busy_keys(SLIDES, instance) == {"first", "last"}
    assert None in verdicts(of, instance, "first").values(), "the run may still give them"
    instance.report_run_failed(dead)
    assert check_validity.execute_in_process(instance=instance).success

    for stem in ("first", "last"):
        assert_given(verdicts(of, instance, stem))
