"""Embeddings of cases that are fresh, stale, missing or failed; who makes them anew, and when. The real graph."""

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from native_staleness import CachingStaleStatusResolver, LoadingContextForTest, StaleStatus
from project_files import project_text
from small_projects import break_slide, create_runs, paint, project, said
from small_projects import run as run_slides
from upgrading import requested_runs

from atlaspatch_assets.cli.local_backfill import backfill
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.patients.states import case_states
from atlaspatch_assets.defs.slides import sensors
from atlaspatch_assets.defs.validity.assets import COVERAGE
from atlaspatch_assets.defs.validity.assets import JOB_NAME as CHECK_VALIDITY
from atlaspatch_assets.lib import vain_runs
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import VALID, last_verdicts, recorded_validities
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity import recipe as recipes
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

NETWORK = "timm-test_efficientnet"
STEP = f"patient_embedding/mean-{NETWORK}"
KEY = dg.AssetKey(STEP.split("/"))
FEATURES = dg.AssetKey(["patch_features", NETWORK])


@pytest.fixture
def instance(tmp_path, open_instance):
    with open_instance(tmp_path / "dagster") as instance:
        yield instance


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> tuple[Path, Path]:
    """Two tiny networks with random weights."""
    import timm
    import torch

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name in ("old.pt", "new.pt"):
        torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), folder / name)
    return folder / "old.pt", folder / "new.pt"


@pytest.fixture(autouse=True)
def at_rest(monkeypatch):
    monkeypatch.setattr(sensors, "SECONDS_AT_REST", 0.0)


def lab(folder: Path, weights: Path, *rows: str) -> Project:
    """Return a project with these rows in its table of cases."""
    (folder / "cases.csv").write_text("\n".join(["case_id,slide_path", *rows]) + "\n")
    patients = {"manifest": folder / "cases.csv", "encoders": [f"mean-{NETWORK}"]}
    return project(folder, patients=patients, weights={NETWORK: weights})


def run_cases(of: Project, instance: dg.DagsterInstance, *case_ids: str) -> dg.ExecuteInProcessResult:
    cases = ProjectNames.of(of).cases
    cases.register(instance, case_ids)
    job = build_definitions(of).resolve_job_def(cases.job_name)
    config = cases.config(case_ids)
    return job.execute_in_process(instance=instance, partition_key=case_ids[0], run_config=config, raise_on_error=False)


def made(folder: Path, weights: Path, instance: dg.DagsterInstance) -> Project:
    """Return a project with two slides and two cases that were made: p1 of slide a, p2 of both."""
    paint(folder / "slides", "a", "b")
    of = lab(folder, weights, "p1,slides/a.svs", "p2,slides/a.svs", "p2,slides/b.svs")
    assert run_slides(of, instance, ["a", "b"]).success
    assert run_cases(of, instance, "p1", "p2").success
    return of


def states(of: Project, instance: dg.DagsterInstance) -> dict[str, tuple[State, str]]:
    recipe = make_recipe(of)
    found = case_states(recipe, instance, recorded_validities(recipe, instance))
    return {it.validity.stem: (it.validity.state, it.validity.why) for it in found}


def tick(of: Project, instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    defs = build_definitions(of)
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=defs, cursor=cursor) as context:
        found = defs.resolve_sensor_def("new_cases").evaluate_tick(context)
    for request in found.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return found


def cases_of(found) -> list[list[str]]:
    return [request.run_config["ops"]["cases_to_embeddings"]["config"]["cases"] for request in found.run_requests]


def test_a_case_is_stale_when_its_rows_or_its_slides_change_and_says_which(tmp_path, instance, weights):
    of = made(tmp_path, weights[0], instance)
    assert states(of, instance) == {"p1": (State.FRESH, ""), "p2": (State.FRESH, "")}

    wider = lab(tmp_path, weights[0], "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/a.svs", "p2,slides/b.svs")
    upgraded = lab(tmp_path, weights[1], "p1,slides/a.svs", "p2,slides/a.svs", "p2,slides/b.svs")
    (tmp_path / "cases.csv").write_text((tmp_path / "cases.csv").read_text() + "p1,slides/b.svs\n")

    assert states(wider, instance)["p1"] == (State.STALE, "slides a → a b")
    assert states(wider, instance)["p2"] == (State.FRESH, "")
    assert states(upgraded, instance)["p2"] == (State.STALE, f"upstream changed: patch_features/{NETWORK} of a")


def test_a_case_fails_with_its_slide_and_when_it_left_the_table(tmp_path, instance, weights):
    """A case fails with its slide is missing before it is made and fails when it left the table."""
    paint(tmp_path / "slides", "a")
    break_slide(tmp_path / "slides", "bad")
    of = lab(tmp_path, weights[0], "p1,slides/a.svs", "p2,slides/bad.svs")
    run_slides(of, instance, ["a", "bad"])
    ProjectNames().cases.register(instance, ["gone"])

    found = states(of, instance)

    assert found["p1"] == (State.MISSING, "")
    assert found["p2"][0] is State.FAILED
    assert "bad" in found["p2"][1]
    assert "names no such case" in found["gone"][1]
    (tmp_path / "cases.csv").write_text("patient\n")
    assert "the column case_id is missing" in states(of, instance)["gone"][1]


def test_status_lists_cases_below_the_slides(tmp_path, instance, weights):
    made(tmp_path, weights[0], instance)
    of = lab(tmp_path, weights[0], "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/a.svs", "p2,slides/b.svs")
    (tmp_path / "atlaspatch.toml").write_text(TOML.format(network=NETWORK, weights=weights[0]))

    def status(*more: str) -> str:
        done = CliRunner().invoke(cli, ["status", "--project", str(tmp_path / "atlaspatch.toml"), *more], obj=Hooks())
        assert done.exit_code == 0, done.output
        return done.output

    assert states(of, instance)["p2"][0] is State.FRESH
    assert "2 slides, all fresh" in status()
    assert f"{STEP}: slides a → a b" in status()
    assert "2 cases, 1 of them wholly fresh and not listed" in status()
    rows = {it["slide"]: it["state"] for it in json.loads(status("--json")) if it["output"] == STEP}
    assert rows == {"p1": "stale", "p2": "fresh"}


TOML = project_text(
    geometry='precision = "float32"',
    tables='[patients]\nmanifest = "cases.csv"\nencoders = ["mean-{network}"]\n[weights]\n"{network}" = "{weights}"',
)


def test_coverage_and_the_check_tell_of_cases(tmp_path, instance, weights):
    made(tmp_path, weights[0], instance)
    wider = lab(tmp_path, weights[0], "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/a.svs", "p2,slides/b.svs")

    assert build_definitions(wider).resolve_job_def(CHECK_VALIDITY).execute_in_process(instance=instance).success

    (record,) = instance.fetch_materializations(dg.AssetKey(COVERAGE), limit=1).records
    assert record.asset_materialization is not None
    told = {name: entry.value for name, entry in record.asset_materialization.metadata.items()}
    name = STEP.replace("/", "_").replace("-", "_")
    assert (told["slides"], told["cases"], told[f"stale_{name}"], told[f"fresh_{name}"]) == (2, 2, 1, 1)
    assert last_verdicts(instance, dg.AssetCheckKey(KEY, VALID)) == {"p1": False}
    assert run_cases(wider, instance, "p1").success
    assert build_definitions(wider).resolve_job_def(CHECK_VALIDITY).execute_in_process(instance=instance).success
    assert last_verdicts(instance, dg.AssetCheckKey(KEY, VALID)) == {"p1": True}


def test_the_page_of_a_case_does_not_call_it_stale_for_slides_of_others(tmp_path, instance, weights, monkeypatch):
    of = made(tmp_path, weights[0], instance)
    paint(tmp_path / "slides", "c", "p1")
    assert run_slides(of, instance, ["c", "p1"]).success

    def status() -> StaleStatus:
        graph = build_definitions(of).resolve_asset_graph()
        return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(KEY, "p1")

    assert status() is StaleStatus.FRESH
    monkeypatch.setattr(recipes, "STEP_VERSIONS", {**recipes.STEP_VERSIONS, "patient_embedding": 2})
    assert status() is StaleStatus.STALE


def test_a_run_of_cases_makes_no_check_but_its_own(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a")
    result = run_cases(lab(tmp_path, weights[0], "p1,slides/a.svs"), instance, "p1")
    assert {it.check_name for it in result.get_asset_check_evaluations()} == {"processed"}


def test_a_case_follows_its_slides_once_all_of_them_are_done_and_is_asked_for_once(tmp_path, instance, weights):
    made(tmp_path, weights[0], instance)
    upgraded = lab(tmp_path, weights[1], "p1,slides/a.svs", "p2,slides/a.svs", "p2,slides/b.svs")

    first = tick(upgraded, instance)
    assert run_slides(upgraded, instance, ["a"]).success
    second = tick(upgraded, instance, first.cursor)
    assert run_slides(upgraded, instance, ["b"]).success
    third = tick(upgraded, instance, second.cursor)

    assert [cases_of(found) for found in (first, second, third)] == [[], [["p1"]], [["p1", "p2"]]]
    assert run_cases(upgraded, instance, "p1", "p2").success
    fourth = tick(upgraded, instance, third.cursor)
    assert fourth.run_requests == []
    assert tick(upgraded, instance, fourth.cursor).skip_message == "all 2 cases are known"
    assert said(instance, STEP, "p1")["why"] == f"upstream changed: patch_features/{NETWORK} of a"


@pytest.mark.e2e
def test_a_case_follows_its_slides_back_to_a_version_that_they_had_before(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a")
    keys = []
    for version in (weights[0], weights[1], weights[0], weights[1]):
        of = lab(tmp_path, version, "p1,slides/a.svs")
        assert run_slides(of, instance, ["a"]).success
        found = tick(of, instance)
        assert cases_of(found) == [["p1"]]
        keys += [request.run_key for request in found.run_requests or ()]
        assert run_cases(of, instance, "p1").success

    assert len(set(keys)) == 4


def test_a_new_case_waits_for_the_slides_that_the_project_processes_anyway(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a")
    of = lab(tmp_path, weights[0], "p1,slides/a.svs")

    first = tick(of, instance)
    assert run_slides(of, instance, ["a"]).success
    second = tick(of, instance, first.cursor)

    assert (cases_of(first), instance.get_dynamic_partitions("cases")) == ([], ["p1"])
    assert cases_of(second) == [["p1"]]
    assert said(instance, "slide", "a")["status"] == "computed"


@pytest.mark.e2e
def test_a_case_follows_its_table_and_a_failed_one_is_tried_once_a_version(tmp_path, instance, weights):
    """A case whose slide was added to the table follows and a failed one is tried once a version."""
    made(tmp_path, weights[0], instance)
    wider = lab(tmp_path, weights[0], "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/a.svs", "p2,slides/b.svs")

    found = tick(wider, instance)

    assert cases_of(found) == [["p1"]]
    assert [it.run_key for it in tick(wider, instance).run_requests] == [it.run_key for it in found.run_requests]
    h5 = tmp_path / "output" / "patient_features" / f"mean-{NETWORK}" / "p1.h5"
    h5.write_bytes(b"damaged")
    assert not run_cases(wider, instance, "p1", "p2").success
    again = tick(wider, instance, found.cursor)
    assert cases_of(again) == [["p1"]]
    assert [it.run_key for it in tick(wider, instance).run_requests] == [it.run_key for it in again.run_requests]


@pytest.mark.e2e
@pytest.mark.parametrize("known", [False, True])
def test_a_case_whose_run_died_is_asked_for_again_after_a_pause_and_not_forever(
    tmp_path, instance, weights, monkeypatch, known
):
    """A new case whose slides Dagster has never heard of, and a known one that was to follow its slides."""
    paint(tmp_path / "elsewhere", "a")
    of = lab(tmp_path, weights[0], "p1,elsewhere/a.svs")
    if known:
        assert run_cases(of, instance, "p1").success
        of = lab(tmp_path, weights[1], "p1,elsewhere/a.svs")
    found, keys = tick(of, instance), set()
    for _ in range(vain_runs.MOST_ATTEMPTS):
        keys |= {request.run_key for request in found.run_requests}
        (died,) = create_runs(of, instance, found.run_requests)
        assert tick(of, instance, found.cursor).run_requests == []
        instance.report_run_failed(died)

        paused = tick(of, instance, found.cursor)
        assert paused.run_requests == []
        with monkeypatch.context() as later:
            later.setattr(vain_runs, "FIRST_PAUSE", 0.0)
            found = tick(of, instance, paused.cursor)

    assert (len(keys), found.run_requests) == (vain_runs.MOST_ATTEMPTS, [])
    assert tick(of, instance, found.cursor).cursor == found.cursor


def test_a_case_whose_run_a_person_cancelled_is_not_asked_for_again(tmp_path, instance, weights, monkeypatch):
    monkeypatch.setattr(vain_runs, "FIRST_PAUSE", 0.0)
    paint(tmp_path / "elsewhere", "a")
    of = lab(tmp_path, weights[0], "p1,elsewhere/a.svs")
    found = tick(of, instance)
    (cancelled,) = create_runs(of, instance, found.run_requests)
    instance.report_run_canceled(cancelled)

    assert tick(of, instance, found.cursor).run_requests == []


def test_another_patient_encoder_waits_for_the_job_that_makes_stale_outputs(tmp_path, instance, weights, monkeypatch):
    of = made(tmp_path, weights[0], instance)
    monkeypatch.setattr(recipes, "STEP_VERSIONS", {**recipes.STEP_VERSIONS, "patient_embedding": 2})

    assert tick(of, instance).run_requests == []
    job = build_definitions(of).resolve_job_def("materialize_stale")
    config = {"ops": {"find_stale": {"config": {"dry_run": False}}}}
    result = job.execute_in_process(instance=instance, run_config=config)
    (request,) = requested_runs(of, instance, result)
    (output,) = (event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    assert output.step_output_data.metadata["to_compute"].value == "2 cases"

    assert (request.job_name, request.run_config) == ("process_cases", ProjectNames().cases.config(["p1", "p2"]))
    assert run_cases(of, instance, "p1", "p2").success
    assert {state for state, _ in states(of, instance).values()} == {State.FRESH}
    assert said(instance, STEP, "p2")["why"] == "version 1 → 2"


@pytest.mark.e2e
def test_a_backfill_from_the_shell_makes_slides_and_then_cases(tmp_path, instance, weights):
    paint(tmp_path / "slides", "a", "b")
    of = lab(tmp_path, weights[0], "p1,slides/a.svs", "p2,slides/b.svs")
    rows, told = [], []

    for kind in (State.MISSING, State.STALE):
        recipe = make_recipe(of)
        done = backfill(
            recipe, instance, [kind], [], dry_run=False, canary=True, show=rows.append, write_line=told.append
        )
        assert done is not None
        assert done.crashes == ()
        assert {state for state, _ in states(of, instance).values()} == {State.FRESH}
        of = lab(tmp_path, weights[1], "p1,slides/a.svs", "p2,slides/b.svs")

    assert [row.stem for row in rows if row.asset == STEP] == ["p1", "p2"] * 2
    assert any(text.startswith(f"{STEP}: 2 cases: missing") for text in told)
