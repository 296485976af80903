"""What a project is called in Dagster: without a name as since ever, with one each of its parts has it before."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from names_in_dagster import names_of_a_day
from network_files import network_weights
from paths import ROOT
from project_files import project_text
from rounds import examples
from several_projects import KIDNEY, LABEL, LUNG, lab, make
from small_projects import GEOMETRY, break_slide, paint, project
from upgrading import NETWORK

from atlaspatch_assets.cli.doctor import dagster_findings
from atlaspatch_assets.cli.local_backfill import backfill
from atlaspatch_assets.cli.main import cli, main
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.slides.requests import request_runs
from atlaspatch_assets.defs.validity.backfill import Order, build_requests
from atlaspatch_assets.lib.names import PROJECT_TAG, ProjectNames
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

pytestmark = pytest.mark.usefixtures("files_at_rest")

RECORDED = ROOT / "tests" / "data" / "names_of_a_project_without_name.json"
NAMES = st.from_regex(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", fullmatch=True).filter(lambda name: len(name) <= 60)
WORDS = st.sampled_from(("slides", "slides_removed", "process_slides", "audit", "validity", "case_validity"))


# What a project without a name is called


@pytest.mark.parametrize("name", [None, KIDNEY, LUNG])
def test_a_name_stands_before_what_a_project_without_one_is_called_since_ever(tmp_path, home, instance, name):
    weights = network_weights(tmp_path)["old.pt"]
    paint(tmp_path / "slides", "a")
    break_slide(tmp_path / "slides", "bad")
    (tmp_path / "cases.csv").write_text("case_id,slide_path\np,slides/a.svs\n")
    patients = {"manifest": tmp_path / "cases.csv", "encoders": [f"mean-{NETWORK}"]}
    geometry = [GEOMETRY | {"slide_encoders": [f"mean-{NETWORK}"]}, GEOMETRY | {"name": "fine"}]
    of = project(tmp_path, name=name, geometry=geometry, patients=patients, weights={NETWORK: weights})

    found = names_of_a_day(of, instance, home, lambda: make_missing(of, instance), LABEL[name])

    recorded = json.loads(RECORDED.read_text())
    assert json.loads(json.dumps(found)) == (with_name(recorded, name) if name else recorded)


def with_name(recorded: Any, name: str) -> Any:
    """Return what is recorded of a project without a name as it is to be of one with it."""

    def label(word: str) -> str:
        return word if word in ("__ASSET_JOB", "record_verdicts", "refuse_slides") else f"{LABEL[name]}{word}"

    def labels(ops: dict) -> dict:
        return {of_key(op) if op in ("coverage", "cohort_report") else label(op): it for op, it in ops.items()}

    def of_key(asset: str) -> str:
        return dg.AssetKey([name, asset]).to_python_identifier()  # Dagster itself names the op of a single asset

    def tags(values: dict) -> dict:
        own = {
            tag: label(it) if tag in ("dagster/partition_set", "dagster/sensor_name") else it
            for tag, it in values.items()
        }
        return own | {PROJECT_TAG: name}

    def event_tag(tag: str) -> str:
        return tag.replace("data_version/", f"data_version/{name}/").replace("pointer/", f"pointer/{name}/")

    (of_sensors,) = recorded["requests"].values()
    return {
        "assets": {f"{name}/{key}": [of and f"{name}/{of}", *more] for key, (of, *more) in recorded["assets"].items()},
        "jobs": {
            label(job): [labels(ops), {} if job == "__ASSET_JOB" else {PROJECT_TAG: name}]
            for job, (ops, _) in recorded["jobs"].items()
        },
        "sensors": {label(it): [label(job) for job in jobs] for it, jobs in recorded["sensors"].items()},
        "schedules": {label(it): label(job) for it, job in recorded["schedules"].items()},
        "runs": {label(job): tags(values) for job, values in recorded["runs"].items()},
        "events": {
            f"{name}/{key}": [partition, [event_tag(tag) for tag in of_event], metadata]
            for key, (partition, of_event, metadata) in recorded["events"].items()
        },
        "partition_sets": {f"{name}/{key}": keys for key, keys in recorded["partition_sets"].items()},
        "requests": {
            "sensors": [
                [[label(job), key, {"ops": labels(config["ops"])}, tags(values)] for job, key, config, values in of]
                for of in of_sensors
            ]
        },
    }


def make_missing(of: Project, instance: dg.DagsterInstance) -> None:
    done = backfill(
        make_recipe(of),
        instance,
        [State.MISSING],
        [],
        dry_run=False,
        canary=False,
        show=lambda _: None,
        write_line=lambda _: None,
    )
    assert done is not None
    assert done.crashes == ()


def test_run_keys_of_a_project_without_a_name_are_as_before_there_were_names(instance):
    names = ProjectNames()
    (of_slides,) = request_runs(names.slides, instance, {"a": "v", "b": "w"}, 2, 0.0).requests
    order = Order(("a", "b"), (OutputKey("slide"), OutputKey("tissue_mask")))
    (of_backfill,) = build_requests(names, [order], 2, "now", {"x": "y"})

    stems = {"slide/a": "a", "slide/b": "b"}
    of_sensor = {"atlaspatch/source": "new_slides"}
    assert (of_slides.run_key, dict(of_slides.tags)) == ("3e916e61a9b880cc", of_sensor | stems)
    assert (of_backfill.run_key, dict(of_backfill.tags)) == ("9969a8bf3e7651d1", {"x": "y"} | stems)


# What a name may be, and what it is put before


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a__b", "-a", "a-", "a_-b", "ä", "a.b", "a\n", "x" * 61])
def test_what_cannot_stand_before_names_of_dagster_is_refused(name):
    with pytest.raises(InvalidProject, match=r"name: must be letters and digits with single dashes or underscores"):
        project(Path("lab"), name=name)


@st.composite
def two_names(draw) -> tuple[str, str]:
    """Return two names that differ, some of them in a sign between the same words or in what comes behind."""
    one = draw(NAMES)
    other = draw(
        st.sampled_from([one.replace("-", "_"), one.replace("_", "-"), f"{one}_slides", f"{one}-process"]) | NAMES
    )
    assume(one != other and len(other) <= 60)
    return one, other


@settings(deadline=None)
@given(two_names(), WORDS, WORDS)
def test_names_of_two_projects_are_never_the_same(pair, word, another):
    one, other = pair
    first, second, none = (ProjectNames.of(project(Path("lab"), name=name)) for name in (one, other, None))

    for names in (second, none):
        assert first.label(word) != names.label(another)
        assert first.partition_set(word) != names.partition_set(another)
        assert first.asset_key("slide") != names.asset_key("slide")
        assert first.run_key("key") != names.run_key("key")


@examples(25)
@given(NAMES)
def test_dagster_takes_every_name_that_a_project_may_have(name):
    of = project(Path("lab"), name=name)

    dg.Definitions.validate_loadable(build_definitions(of))


# Commands


def write_project(folder: Path, name: str | None) -> Path:
    """Write the file of a small project with one slide."""
    paint(folder / "slides", "s")
    (folder / "atlaspatch.toml").write_text(project_text(name=name or ""))
    return folder / "atlaspatch.toml"


def test_commands_record_and_read_under_the_name_of_the_project_file(tmp_path, home):
    (tmp_path / "one").mkdir()
    file = write_project(tmp_path / "one", LUNG)

    assert CliRunner().invoke(cli, ["materialize", "--project", str(file)]).exit_code == 0
    result = CliRunner().invoke(cli, ["backfill", "--stale", "--missing", "--project", str(file)])

    assert result.output == "To compute: nothing to do\n"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_dynamic_partitions(f"{LUNG}/slides") == ["s"]
        assert {key.path[0] for key in instance.all_asset_keys()} == {LUNG}


def test_encode_slide_tells_the_instance_under_the_name_that_it_is_given(tmp_path, home, monkeypatch):
    paint(tmp_path / "slides", "s")
    options = ["--output", str(tmp_path / "out"), "--patch-size", "256", "--target-mag", "20", "--device", "cpu"]
    named = ["--project-name", KIDNEY, "--slide-encoders", "mean-efficientnet_lite0"]
    monkeypatch.setattr("sys.argv", ["atlaspatch", "encode-slide", str(tmp_path / "slides"), *options, *named])

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 0
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_dynamic_partitions(f"{KIDNEY}/slides") == ["s"]
        assert {key.path[0] for key in instance.all_asset_keys()} == {KIDNEY}


def test_doctor_counts_slides_of_the_project_and_warns_of_a_namesake(tmp_path, home):
    one, other = (lab(tmp_path, name, "s") for name in (KIDNEY, LUNG))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        make(one, instance, "s")

    told, of_other = ({it.name: it for it in dagster_findings(of)} for of in (one, other))
    namesake = {it.name: it for it in dagster_findings(other.model_copy(update={"name": KIDNEY}))}

    assert "1 slides" in told["dagster"].text
    assert "0 slides" in of_other["dagster"].text
    assert "dagster names" not in told.keys() | of_other.keys()
    assert str(one.output) in namesake["dagster names"].text
