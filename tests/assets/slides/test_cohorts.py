"""Cohorts on the platform: batches, tags, metadata, and what is selected by them, from the sensor to the pages."""

import csv
import io
import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from project_files import project_text
from rounds import examples
from small_projects import break_slide, paint, project, run
from starlette.testclient import TestClient
from tracked_folders import encode

from atlaspatch_assets.cli.hooks import make_hooks
from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.batches import cohort_batches
from atlaspatch_assets.lib.names import COHORT_TAG
from atlaspatch_assets.pages import build_app
from atlaspatch_assets.pages.view import ProjectView
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe

FILE = project_text(slides="recursive = true", runtime="threads = 1\nread_workers = 1")
UNKNOWN = "no slide is of the cohort slides/liver; there are slides/kidney (2), slides/lung (1)"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def paint_cohorts(folder: Path) -> None:
    """Paint two slides of kidneys, and one of a lung."""
    (folder / "slides").mkdir()
    paint(folder / "slides" / "kidney", "a", "b")
    paint(folder / "slides" / "lung", "c")


def nested(folder: Path, **values) -> Project:
    return project(folder, slides={"folders": [folder / "slides"], "recursive": True}, **values)


def tick(of: Project, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    sensor = build_definitions(of).resolve_sensor_def("new_slides")
    context = dg.build_sensor_context(instance=instance)
    found = sensor(context)
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or ())


@examples(100)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.sampled_from("xyz"), max_size=40), st.integers(1, 20)
)
def test_batches_hold_each_key_once_and_mix_only_small_rests(cohorts, size):
    batches = list(cohort_batches(cohorts, cohorts, size))

    assert sorted(key for batch in batches for key in batch) == sorted(cohorts)
    assert all(0 < len(batch) <= size for batch in batches)
    for batch in batches:
        counts = [sum(cohorts[key] == cohort for key in batch) for cohort in {cohorts[key] for key in batch}]
        assert len(counts) == 1 or max(counts) < max(1, size // 8)


def test_keys_without_cohorts_keep_their_order_and_their_batches():
    assert list(cohort_batches("cabde", {}, 2)) == [["c", "a"], ["b", "d"], ["e"]]


def test_the_sensor_asks_for_a_run_for_each_cohort_with_its_tag(tmp_path, instance, monkeypatch):
    monkeypatch.setattr("atlaspatch_assets.defs.slides.sensors.SECONDS_AT_REST", 0.0)
    paint_cohorts(tmp_path)

    requests = tick(nested(tmp_path, runtime={"slides_per_run": 8}), instance)

    asked = {
        request.tags[COHORT_TAG]: request.run_config["ops"]["slides_to_embeddings"]["config"] for request in requests
    }
    assert {cohort: config["slides"] for cohort, config in asked.items()} == {
        "slides/kidney": ["a", "b"],
        "slides/lung": ["c"],
    }


def test_cohorts_of_few_slides_share_a_run_of_the_folder_that_holds_them(tmp_path, instance, monkeypatch):
    monkeypatch.setattr("atlaspatch_assets.defs.slides.sensors.SECONDS_AT_REST", 0.0)
    paint_cohorts(tmp_path)

    (request,) = tick(nested(tmp_path), instance)

    assert request.tags[COHORT_TAG] == "slides"


def test_a_slide_and_its_run_say_the_cohort_however_it_was_started(tmp_path, instance):
    paint_cohorts(tmp_path)

    result = run(nested(tmp_path), instance, ["a", "b"])

    (event, _) = result.asset_materializations_for_node("slides_to_embeddings")[:2]
    assert event.metadata["cohort"].value == "slides/kidney"
    record = instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.tags[COHORT_TAG] == "slides/kidney"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A project with two cohorts, all of it made but for a slide that cannot be read, which is the current folder."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.chdir(tmp_path)
    paint_cohorts(tmp_path)
    Path("atlaspatch.toml").write_text(FILE)
    return tmp_path


def invoke(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(words), obj=make_hooks())
    assert result.exit_code == code, result.output
    return result.output


def told(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_commands_take_the_slides_of_a_cohort_alone(folder):
    assert "2 slides" in invoke("materialize", "--cohort", "slides/kidney")
    states = list(csv.DictReader(io.StringIO(invoke("status", "--csv"))))
    assert {row["slide"] for row in states if row["state"] == "fresh"} == {"a", "b"}

    kidneys = json.loads(invoke("status", "--json", "--cohort", "slides/kid*"))
    assert {row["slide"] for row in kidneys} == {"a", "b"}
    assert "nothing to do" in invoke("backfill", "--missing", "--cohort", "slides/kidney")
    assert "1 slide" in invoke("backfill", "--missing", "--cohort", "slides/lung")
    assert "nothing to do" in invoke("backfill", "--missing")

    assert "2 slides" in invoke("report", "--cohort", "slides/kidney", "--to", "kidney.html")
    assert ">c<" not in Path("kidney.html").read_text()
    assert "1 slide" in invoke("export", "--layout", "geojson", "--to", "qupath", "--cohort", "slides/lung")
    assert [path.name for path in Path("qupath").rglob("*.geojson")] == ["c.geojson"]


def test_a_folder_without_project_file_knows_cohorts_too(folder):
    encode(folder, "--recursive")
    kidneys = json.loads(invoke("status", "out", "--json", "--cohort", "slides/kidney"))
    assert {row["slide"] for row in kidneys} == {"a", "b"}
    to = ["--layout", "geojson", "--to", "qupath", "--cohort", "slides/lung"]
    assert "1 slide" in invoke("export", "--output", "out", *to)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["report", "--to", "page.html"],
        ["backfill", "--missing"],
        ["export", "--layout", "geojson", "--to", "qupath"],
        ["materialize"],
    ],
)
def test_a_cohort_of_no_slide_is_told_by_every_command(folder, words):
    assert UNKNOWN in told(invoke(*words, "--cohort", "slides/liver", code=2))


def test_the_report_of_a_cohort_takes_not_the_place_of_that_of_all_slides(folder):
    assert "--cohort needs --to" in invoke("report", "--cohort", "slides/lung", code=2)


def test_jobs_take_the_slides_of_a_cohort_alone(tmp_path, instance):
    paint_cohorts(tmp_path)
    of = nested(tmp_path)
    definitions = build_definitions(of)
    instance.add_dynamic_partitions("slides", ["a", "b", "c"])
    job = definitions.resolve_job_def("materialize_new")
    config = {"ops": {"find_new": {"config": {"cohorts": ["slides/kidney"], "dry_run": False}}}}

    result = job.execute_in_process(instance=instance, run_config=config)

    (output,) = [event for event in result.all_node_events if event.is_successful_output]
    assert output.step_output_data.metadata["to_compute"].value.startswith("2 slides")
    sensor = definitions.resolve_sensor_def("launch_batches")
    (event,) = [event for event in result.all_events if event.event_type_value == "PIPELINE_SUCCESS"]
    record = instance.get_run_by_id(result.run_id)
    context = dg.build_run_status_sensor_context("launch_batches", event, instance, record)
    (request,) = list(sensor(context))
    assert request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"] == ["a", "b"]
    assert request.tags[COHORT_TAG] == "slides/kidney"


@pytest.mark.parametrize(
    ("job", "op", "more"),
    [("materialize_new", "find_new", {}), ("export", "export_results", {"layout": "geojson", "folder": "/tmp/none"})],
)
def test_a_job_for_a_cohort_of_no_slide_fails_with_those_that_there_are(tmp_path, instance, job, op, more):
    paint_cohorts(tmp_path)
    config = {"ops": {op: {"config": {"cohorts": ["slides/liver"], **more}}}}

    result = (
        build_definitions(nested(tmp_path))
        .resolve_job_def(job)
        .execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    )

    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data.description == UNKNOWN


def test_pages_show_the_slides_of_a_cohort_alone(tmp_path, instance):
    paint_cohorts(tmp_path)
    break_slide(tmp_path / "slides" / "kidney", "broken")
    of = nested(tmp_path)
    run(of, instance, ["a", "b", "broken", "c"])
    pages = TestClient(build_app(ProjectView(make_recipe(of), instance)), base_url="http://127.0.0.1")

    def stems(query: str) -> set[str]:
        needs = pages.get(f"/needs.json{query}").json()["needs"]
        return {stem for need in needs for stem in need["stems"]}

    assert "broken" in stems("")
    assert "broken" in stems("?cohort=slides/kidney")
    assert "broken" not in stems("?cohort=slides/lung")
    lungs = pages.get("/status?cohort=slides/lung").text
    assert "broken" not in lungs
    unknown = pages.get("/status?cohort=slides/liver")
    assert (unknown.status_code, unknown.text) == (404, f"{UNKNOWN.replace('(2)', '(3)')}\n")
