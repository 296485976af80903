"""The instance on Postgres, against a real server that the test starts."""

from collections.abc import Iterator

import dagster as dg
import pytest
import yaml
from paths import ROOT
from postgres import postgres_server, put_in_place
from small_projects import break_slide, failed_slides, paint, project, run, said

from atlaspatch_assets.dagster_internals import VerdictRecorder, storage_kind
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.audit.checks import recorded_versions
from atlaspatch_assets.defs.audit.jobs import OP_NAME
from atlaspatch_assets.defs.slides.arrival import scan_project
from atlaspatch_assets.defs.slides.refusals import failed_slides as failed_slides_in_dagster
from atlaspatch_assets.defs.slides.refusals import refusal_verdict
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.discovery.arrival import ArrivalCursor
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with postgres_server() as variables:
        yield variables


@pytest.fixture
def instance(server, tmp_path, monkeypatch):
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    put_in_place(tmp_path / "home")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        yield instance


def test_slides_arrive_run_fail_by_name_and_are_audited_on_postgres(tmp_path, instance):
    paint(tmp_path / "slides", "first", "second")
    break_slide(tmp_path / "slides", "broken")
    of = project(tmp_path)

    tick = scan_project(of, instance, find_slides(of), ArrivalCursor(), seconds_at_rest=0)
    result = run(of, instance, ["first", "broken", "second"])
    again = scan_project(of, instance, find_slides(of), ArrivalCursor(), seconds_at_rest=0)
    for why in ("once", "twice"):
        VerdictRecorder(instance).record([refusal_verdict(ProjectNames(), "broken", why)])
    job = build_definitions(of).resolve_job_def("audit")
    audit = job.execute_in_process(instance=instance, run_config={"ops": {OP_NAME: {"config": {"share": 1.0}}}})

    assert storage_kind(instance) == "PostgresRunStorage"
    assert [arrival.stem for arrival in tick.ready] == ["first", "second"]
    assert [arrival.stem for arrival in tick.refused] == ["broken"]
    assert list(failed_slides(result)) == ["broken"]
    assert said(instance, "patch_coords", "first")["patches"] == 4
    assert again.ready == ()
    assert failed_slides_in_dagster(ProjectNames(), instance) == {"broken"}
    assert sorted(recorded_versions(make_recipe(of), instance)) == ["first", "second"]
    assert recorded_versions(make_recipe(of), instance)["first"].keys() == {
        OutputKey("slide"),
        OutputKey("tissue_mask"),
        OutputKey("patch_coords"),
    }
    assert all(check.passed for check in audit.get_asset_check_evaluations())


def test_both_variants_of_the_settings_differ_in_storage_alone():
    ours = yaml.safe_load((DEPLOY.parent / "atlaspatch_assets" / "dagster.yaml").read_text())
    postgres = yaml.safe_load((DEPLOY / "dagster.postgres.yaml").read_text())

    assert postgres.keys() - ours.keys() == {"storage"}
    assert {name: value for name, value in postgres.items() if name != "storage"} == ours


@pytest.mark.parametrize("settings", ["dagster.yaml", "deploy/dagster.postgres.yaml", "deploy/celery/dagster.yaml"])
def test_pools_alone_say_how_many_runs_of_a_backfill_compute(settings):
    concurrency = yaml.safe_load((ROOT / settings).read_text())["concurrency"]

    assert "tag_concurrency_limits" not in concurrency["runs"]
    assert concurrency["runs"]["max_concurrent_runs"] == 100
    assert concurrency["pools"]["granularity"] == "run"
