"""What Dagster says of fresh and stale slides: the check, the asset ``coverage`` and ``atlaspatch status``."""

import json
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from prepared import PreparedFolder
from project_files import project_text
from small_projects import break_slide, paint, project, run

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.dagster_internals import data_versions, data_versions_by_pages
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.validity.assets import COVERAGE, JOB_NAME
from atlaspatch_assets.lib.metadata import LARGEST_PICTURE
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import (
    VALID,
    last_verdicts,
    recorded_validities,
    validity_verdicts,
    verdict_reasons,
)
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.config.project import load_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.coverage import draw_coverage
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State, Validity

OTHER_TISSUE = {"tissue": {"closing_um": 4.0}}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def found(of, instance) -> dict[tuple[str, str], tuple[State, str]]:
    return {(it.stem, str(it.step)): (it.state, it.why) for it in recorded_validities(make_recipe(of), instance)}


def check(of, instance) -> dg.ExecuteInProcessResult:
    return build_definitions(of).resolve_job_def(JOB_NAME).execute_in_process(instance=instance)


def coverage(instance) -> dict:
    record = instance.fetch_materializations(dg.AssetKey(COVERAGE), limit=1).records[0]
    assert record.asset_materialization is not None
    return {name: entry.value for name, entry in record.asset_materialization.metadata.items()}


def key(asset: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(asset), VALID)


@pytest.mark.quick
def test_states_come_from_events_and_the_project(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    break_slide(tmp_path / "slides", "broken")
    run(project(tmp_path), instance, ["a", "broken"])
    instance.add_dynamic_partitions("slides", ["b"])

    states = found(project(tmp_path, **OTHER_TISSUE), instance)

    assert states["a", "slide"] == (State.FRESH, "")
    assert states["a", "tissue_mask"] == (State.STALE, "closing_um 16.0 → 4.0")
    assert states["a", "patch_coords"] == (State.STALE, "upstream changed: tissue_mask")
    assert states["b", "slide"] == (State.MISSING, "")
    assert states["broken", "slide"][0] is State.FAILED
    assert "broken" in states["broken", "slide"][1]
    assert states["broken", "patch_coords"] == (State.MISSING, "")


def test_a_slide_that_is_mended_is_no_longer_failed(tmp_path, instance):
    break_slide(tmp_path / "slides", "a")
    run(project(tmp_path), instance, ["a"])
    paint(tmp_path / "slides", "a")
    run(project(tmp_path), instance, ["a"])

    assert {state for state, _ in found(project(tmp_path), instance).values()} == {State.FRESH}


def test_versions_are_the_same_by_public_means(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    run(project(tmp_path), instance, ["a", "b"])
    run(project(tmp_path), instance, ["a", "b"], force=True)

    asked = dg.AssetKey("patch_coords")

    assert len(data_versions(instance, asked)) == 2
    assert data_versions_by_pages(instance, asked) == data_versions(instance, asked)


@pytest.mark.quick
def test_checks_and_coverage_tell_what_is_stale_once_and_what_is_fresh_again(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    run(project(tmp_path), instance, ["a", "b"])
    changed = project(tmp_path, **OTHER_TISSUE)

    assert check(changed, instance).success

    assert last_verdicts(instance, key("tissue_mask")) == {"a": False, "b": False}
    assert verdict_reasons(instance, key("tissue_mask")) == dict.fromkeys("ab", "closing_um 16.0 → 4.0")
    assert last_verdicts(instance, key("slide")) == {}
    told = coverage(instance)
    assert (told["slides"], told["fresh"], told["stale"], told["stale_tissue_mask"]) == (2, 2, 4, 2)
    assert [row.data["why"] for row in told["to_look_at"].records] == [
        "closing_um 16.0 → 4.0",
        "upstream changed: tissue_mask",
    ] * 2
    assert list(validity_verdicts(ProjectNames(), recorded_validities(make_recipe(changed), instance), instance)) == []
    check(project(tmp_path), instance)
    assert last_verdicts(instance, key("tissue_mask")) == {"a": True, "b": True}
    assert coverage(instance)["fresh_share"] == 1


def test_no_more_verdicts_are_told_at_once_than_allowed(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b", "c")
    run(project(tmp_path), instance, ["a", "b", "c"])
    recipe = make_recipe(project(tmp_path, **OTHER_TISSUE))

    told = list(validity_verdicts(ProjectNames(), recorded_validities(recipe, instance), instance, most=2))

    expected = [(stem, asset) for stem in ("a", "b") for asset in ("tissue_mask", "patch_coords")]
    for kind in (dg.AssetCheckEvaluation, dg.AssetObservation):
        events = [event for event in told if isinstance(event, kind)]
        assert [(event.partition, event.asset_key.to_user_string()) for event in events] == expected


def test_the_check_can_be_run_by_itself_and_is_no_part_of_processing(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    run(project(tmp_path), instance, ["a"])
    defs = build_definitions(project(tmp_path, **OTHER_TISSUE))
    process = defs.resolve_job_def("process_slides")
    job = dg.define_asset_job("only", selection=dg.AssetSelection.checks(key("tissue_mask")))
    alone = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("only")

    assert alone.execute_in_process(instance=instance).success

    assert last_verdicts(instance, key("tissue_mask")) == {"a": False}
    assert last_verdicts(instance, key("patch_coords")) == {}
    assert [node.name for node in process.nodes] == ["slides_to_embeddings"]


@pytest.mark.quick
def test_the_picture_of_many_slides_stays_small():
    states = list(State)
    many = [
        Validity(f"{slide}", OutputKey(f"step{number}"), states[(slide * 7 + number) % 4])
        for slide in range(5000)
        for number in range(12)
    ]

    assert len(draw_coverage(many)) <= LARGEST_PICTURE
    assert len(draw_coverage([])) <= LARGEST_PICTURE


PROJECT = project_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> PreparedFolder:
    """A project of two slides, finished."""

    def prepare(folder: Path) -> None:
        (folder / "atlaspatch.toml").write_text(PROJECT)
        paint(folder / "slides", "a", "b")
        of = load_project(folder / "atlaspatch.toml")
        list(process(find_slides(of).sources, make_recipe(of)))

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def files(finished, monkeypatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(finished.put_back())
    return finished.path


def status(*arguments: str, hooks: Hooks | None = None):
    result = CliRunner().invoke(cli, ["status", *arguments], obj=hooks)
    assert result.exit_code == 0, result.output
    return result.output


def test_status_works_without_dagster_and_says_that_all_is_fresh(files):
    assert status().splitlines() == [
        "slide         2 fresh",
        "tissue_mask   2 fresh",
        "patch_coords  2 fresh",
        "2 slides, all fresh",
    ]
    assert status("--all").splitlines()[1].split() == ["a", "fresh", "fresh", "fresh"]


@pytest.mark.quick
def test_status_says_what_changed_for_which_slide(files):
    (files / "atlaspatch.toml").write_text(PROJECT + "[tissue]\nclosing_um = 4.0\n")
    paint(files / "slides", "c")

    lines = status().splitlines()

    assert lines[1].split() == ["a", "fresh", "stale", "stale"]
    assert lines[2:4] == ["    tissue_mask: closing_um 16.0 → 4.0", "    patch_coords: upstream changed: tissue_mask"]
    assert lines[7].split() == ["c", "missing", "missing", "missing"]
    assert "tissue_mask   2 stale, 1 missing" in lines


def test_status_as_json_and_csv_has_a_row_for_every_slide_and_output(files):
    (files / "slides" / "b.tif").write_bytes(b"")
    told = json.loads(status("--json"))
    table = status("--csv").splitlines()

    assert told[0] == {"slide": "a", "output": "slide", "state": "fresh", "why": "", "warnings": ""}
    assert [(it["slide"], it["state"]) for it in told if it["output"] == "slide"] == [("a", "fresh"), ("b", "failed")]
    assert table[:2] == ["slide,output,state,why,warnings", "a,slide,fresh,,"]
    assert len(table) == 1 + len(told) == 7


@pytest.mark.quick
def test_status_hears_from_dagster_why_a_slide_failed(files):
    hooks = Hooks(failures=lambda _: {OutputKey("patch_coords"): {"b": "b: it broke"}})

    assert "    patch_coords: b: it broke" in status(hooks=hooks).splitlines()


def test_status_of_a_project_that_is_not_there_is_wrong_usage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli, ["status"])

    assert result.exit_code == 2
    assert "atlaspatch init" in result.output
