"""``atlaspatch carry-over``: a geometry that got another name has its results; commands and Dagster agree."""

import csv
import io
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painting import paint_slide, white
from prepared import PreparedFolder
from project_files import project_text
from small_projects import paint

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.config.project import Project, load_project
from atlaspatch_core.operations.former_results import carry_over, find_former_results
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

FILE = Path("atlaspatch.toml")


@pytest.fixture(scope="module")
def finished(open_instance, tmp_path_factory) -> PreparedFolder:
    """A project of two slides and one of glass, without any name, that was materialised."""

    def prepare(folder: Path) -> None:
        open_instance(folder / "home").dispose()
        with pytest.MonkeyPatch.context() as patch:
            enter(folder, patch)
            paint(folder / "slides", "a", "b")
            paint_slide(folder / "slides" / "glass.svs", white(512, 512))
            name_geometry("")
            assert invoke("materialize").exit_code == 0

    return PreparedFolder(tmp_path_factory.mktemp("lab"), prepare)


def enter(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.setenv("DAGSTER_HOME", str(folder / "home"))


@pytest.fixture
def lab(finished, monkeypatch) -> Path:
    folder = finished.put_back()
    enter(folder, monkeypatch)
    return folder


@pytest.fixture
def home(lab) -> Path:
    """Folder of the Dagster instance of the lab."""
    return lab / "home"


def name_geometry(name: str, more: str = "") -> Project:
    lines = [f'name = "{name}"' if name else "", 'slide_encoders = ["mean-efficientnet_lite0"]', more]
    FILE.write_text(project_text(geometry="\n".join(lines)))
    return load_project(FILE.absolute())


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def states() -> set[str]:
    rows = csv.DictReader(io.StringIO(invoke("status", "--csv").stdout))
    return {row["state"] for row in rows}


def recorded(instance: dg.DagsterInstance) -> set[State]:
    return {output.state for output in recorded_validities(make_recipe(load_project(FILE.absolute())), instance)}


def results(lab, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (lab / "output" / name / "patches").glob("*.h5")}


@pytest.mark.e2e
def test_a_name_is_told_of_first_and_results_are_carried_over(lab, instance):
    before = results(lab, "")
    name_geometry("20x")

    told = invoke("status")
    assert "geometry '20x' has no results of 3 slides" in told.stderr
    assert "'atlaspatch carry-over' takes them over" in told.stderr
    assert "missing" in states()
    assert invoke("carry-over", "--dry-run").output.endswith("Nothing was done.\n")
    assert results(lab, "20x") == {}

    carried = invoke("carry-over")

    assert carried.exit_code == 0, carried.output
    assert f"20x: 3 slides taken over from {lab / 'output' / 'patches'}, where all stays" in carried.output
    assert "Dagster was told of 9 results." in carried.output
    assert states() == {"fresh"}
    assert recorded(instance) == {State.FRESH}
    assert "carry-over" not in invoke("status").stderr
    assert before == results(lab, "") == results(lab, "20x")
    assert "Everything was reused" in invoke("materialize").output


def test_a_kill_at_any_moment_leaves_the_rest_to_the_next_time(lab, instance):
    recipe = make_recipe(name_geometry("20x"))
    (former,) = find_former_results(recipe)
    next(carry_over(recipe, former))
    half_written = lab / "output" / "20x" / "patches" / f".b.{'0' * 32}.tmp"
    half_written.write_bytes(b"half")

    assert "20x: 2 slides taken over" in invoke("carry-over").output
    assert results(lab, "") == results(lab, "20x")
    assert recorded(instance) == {State.FRESH}

    instance.wipe_assets(instance.get_asset_keys(prefix=["20x"]))
    assert "Nothing lies under a former name" in invoke("carry-over").output
    assert recorded(instance) == {State.FRESH}


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(["", "a", "b.2"]), min_size=1, max_size=4))
def test_whatever_names_follow_each_other_results_are_the_same(lab, names):
    for name in names:
        name_geometry(name)
        assert invoke("carry-over").exit_code == 0
        assert states() == {"fresh"}
        assert results(lab, name) == results(lab, "")


def test_other_patches_are_not_taken_over(lab):
    name_geometry("20x", "step_size = 128")

    assert "carry-over" not in invoke("status").stderr
    assert "Nothing lies under a former name" in invoke("carry-over").output
    assert results(lab, "20x") == {}


def test_what_lies_there_already_stays(lab):
    recipe = make_recipe(name_geometry("20x"))
    store = Store(recipe.project.output)
    store.h5("a", "20x").parent.mkdir(parents=True)
    store.h5("a", "20x").write_bytes(b"mine")

    assert "20x: 2 slides taken over" in invoke("carry-over").output
    assert store.h5("a", "20x").read_bytes() == b"mine"


def test_results_under_both_names_go_their_own_ways(lab):
    name_geometry("20x")
    assert invoke("carry-over").exit_code == 0
    before = results(lab, "")

    name_geometry("20x", "step_size = 128")
    assert invoke("materialize", "a").exit_code == 0

    assert results(lab, "") == before
    assert results(lab, "20x")["a.h5"] != before["a.h5"]


def test_the_sensor_computes_nothing_of_what_can_be_taken_over(lab, instance):
    project = name_geometry("20x")
    automatic = project.upgrades.model_copy(update={"automatic": True})
    definitions = build_definitions(project.model_copy(update={"upgrades": automatic}))

    def propose() -> list[dg.RunRequest]:
        with dg.build_sensor_context(instance=instance, definitions=definitions) as context:
            return list(definitions.resolve_sensor_def("propose_upgrade").evaluate_tick(context).run_requests or ())

    (request,) = propose()
    assert request.run_config["ops"]["find_new"]["config"]["compute"] is False
    job = definitions.resolve_job_def("materialize_new")
    result = job.execute_in_process(instance=instance, run_config=dict(request.run_config))
    assert any("carry-over" in entry.user_message for entry in instance.all_logs(result.run_id))

    assert invoke("carry-over").exit_code == 0
    assert propose() == []


def test_embeddings_of_cases_go_with_their_slides(tmp_path):
    store = Store(tmp_path)
    for case_id, content in (("c1", b"one"), ("c2", b"two")):
        store.case(case_id, "mean-a").parent.mkdir(parents=True, exist_ok=True)
        store.case(case_id, "mean-a").write_bytes(content)
    store.case("c2", "mean-a", "20x").parent.mkdir(parents=True)
    store.case("c2", "mean-a", "20x").write_bytes(b"newer")

    store.link_cases("mean-a", "20x", "")

    assert [store.case(case_id, "mean-a", "20x").read_bytes() for case_id in ("c1", "c2")] == [b"one", b"newer"]
    assert store.case("c1", "mean-a").read_bytes() == b"one"
