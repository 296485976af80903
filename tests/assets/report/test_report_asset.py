"""The cohort report as an asset."""

from pathlib import Path

import dagster as dg
import pytest
from small_projects import break_slide, paint, project, run

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.report.assets import JOB_NAME, failures
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.validity.recipe import SLIDE, make_recipe

pytestmark = pytest.mark.quick


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def make_report(of: Project, instance: dg.DagsterInstance) -> dict:
    """Run the job and return the metadata of the report."""
    result = build_definitions(of).resolve_job_def(JOB_NAME).execute_in_process(instance=instance)
    (event,) = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def test_the_report_tells_of_failed_slides_with_the_reason_that_dagster_knows(tmp_path, instance, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_PAGES_URL", "http://127.0.0.1:3001/")
    paint(tmp_path / "slides", "first", "second")
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path)
    run(of, instance, ["first", "broken", "second"])

    told = make_report(of, instance)

    assert (told["slides"], told["failed_slides"], told["outputs_fresh"]) == (3, 1, 6)
    assert len(told["picture"]) < 12_000
    assert told["page"] == "http://127.0.0.1:3001/cohort_report.html"
    reason = failures(make_recipe(of), instance)[SLIDE]["broken"]
    assert reason.startswith("broken: ")
    assert reason.split("`")[0] in Path(told["path"]).read_text()


def test_a_slide_that_was_repaired_has_failed_no_longer(tmp_path, instance):
    break_slide(tmp_path / "slides", "first")
    of = project(tmp_path)
    run(of, instance, ["first"])
    paint(tmp_path / "slides", "first")
    run(of, instance, ["first"])

    assert not any(failures(make_recipe(of), instance).values())
    assert make_report(of, instance)["failed_slides"] == 0


def test_the_report_follows_the_last_assets_of_every_branch(tmp_path):
    graph = build_definitions(project(tmp_path, encoders=True)).resolve_asset_graph()

    key = dg.AssetKey("cohort_report")
    assert graph.get(key).parent_keys == {dg.AssetKey(["slide_embedding", "mean-efficientnet_lite0"])}
    assert not graph.get(key).is_partitioned


def test_owners_stand_on_every_asset_and_a_wrong_one_is_refused(tmp_path):
    owned = build_definitions(project(tmp_path, owners=["team:pathology", "ada@lab.org"])).resolve_asset_graph()

    owners = {key.to_user_string(): list(owned.get(key).owners) for key in owned.get_all_asset_keys()}
    assert {"slide", "patch_coords", "cohort_report", "coverage"} <= owners.keys()
    assert all(it == ["team:pathology", "ada@lab.org"] for it in owners.values())
    with pytest.raises(InvalidProject, match="'ada' is neither an e-mail address nor"):
        project(tmp_path, owners=["ada"])
