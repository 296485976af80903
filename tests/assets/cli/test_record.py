"""``atlaspatch record``: what shards left in the folder, told to Dagster once, as if it had made it."""

from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from project_files import project_text
from small_projects import break_slide, last, paint, said
from tracked_folders import PLUGIN

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.lib.recorded import failure_reasons, recorded_validities
from atlaspatch_core.config.project import load_project
from atlaspatch_core.operations.tracking.json_files import lock_of
from atlaspatch_core.pipeline.patients.encoding import encode_cases
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe
from atlaspatch_core.validity.states import State

ASSETS = ("slide", "tissue_mask", "patch_coords")
CASES = (("whole", "a"), ("whole", "b"), ("half", "a"), ("half", "broken"))
"""Of case and slide."""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three slides, one of which does not open."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlaspatch.toml").write_text(project_text())
    paint(tmp_path / "slides", "a", "b")
    break_slide(tmp_path / "slides", "broken")
    return tmp_path


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def make_shards(count: int = 2) -> None:
    for number in range(1, count + 1):
        invoke("materialize", "--shard", f"{number}/{count}")


def count_events(instance: dg.DagsterInstance) -> int:
    """Return how many events there are of all assets, whatever their kind."""
    keys = [dg.AssetKey(asset) for asset in ASSETS]
    materializations = [instance.fetch_materializations(key, limit=100).records for key in keys]
    observations = [instance.fetch_observations(key, limit=100).records for key in keys]
    return sum(map(len, (*materializations, *observations))) + len(instance.get_runs())


def failures(instance: dg.DagsterInstance, asset: str = "slide") -> dict[str, str]:
    return failure_reasons(instance, dg.AssetCheckKey(dg.AssetKey.from_user_string(asset), "processed"))


def test_dagster_hears_of_shards_once_and_is_told_what_a_run_of_its_own_tells(home, instance, lab, open_instance):
    make_shards()
    assert count_events(instance) == 0

    first = invoke("record")
    events = count_events(instance)
    second = invoke("record")

    assert first.output.endswith("Dagster was told of 6 results and 1 failure of 3 slides.\n"), first.output
    assert second.output.endswith("Dagster was told of 0 results and 0 failures.\n")
    assert (first.exit_code, second.exit_code, count_events(instance)) == (0, 0, events)
    assert set(instance.get_dynamic_partitions("slides")) == {"a", "b", "broken"}
    states = {
        output.state for output in recorded_validities(make_recipe(load_project(lab / "atlaspatch.toml")), instance)
    }
    assert states == {State.FRESH, State.FAILED, State.MISSING}
    check_as_materialized(instance, lab, open_instance)


def check_as_materialized(instance: dg.DagsterInstance, lab: Path, open_instance) -> None:
    """Assert that what was recorded is what ``materialize`` records where it makes the same elsewhere."""
    (lab / "output").rename(lab / "of_shards")
    with open_instance(lab / "other_home") as other, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(lab / "other_home"))
        assert invoke("materialize").exit_code == 1
        for asset in ASSETS:
            told, made = said(instance, asset, "a"), said(other, asset, "a")
            assert told.keys() == made.keys()
            varying = {"seconds"} | ({"status", "why"} if asset == "slide" else set())
            assert {key: made[key] for key in told if key not in varying} == {
                key: value for key, value in told.items() if key not in varying
            }
            tags = [last(each, asset, "a").asset_materialization for each in (instance, other)]
            versions = [event.tags["dagster/data_version"] for event in tags if event and event.tags]
            assert len(versions) == 2
            assert len(set(versions)) == 1
        assert failures(instance) == failures(other)
        assert failures(instance).keys() == {"broken"}


def test_what_changed_since_is_told_and_a_mended_slide_passes(home, instance, lab):
    make_shards(1)
    invoke("record")
    paint_slide(lab / "slides" / "a.svs", stain(white(1024, 1024), 0, 0, 768, 512))
    paint_slide(lab / "slides" / "broken.svs", white(512, 512))
    make_shards(1)

    changed = invoke("record")

    assert changed.output.endswith("Dagster was told of 6 results and 0 failures of 2 slides.\n"), changed.output
    assert failures(instance) == {}
    assert said(instance, "patch_coords", "a")["patches"] == 6
    assert len(instance.fetch_materializations(dg.AssetKey("patch_coords"), limit=100).records) == 4


def test_a_failure_for_another_reason_is_told_with_what_it_stops(home, instance, lab):
    make_shards(1)
    invoke("record")
    before = failures(instance)["broken"]
    paint_slide(lab / "slides" / "broken.svs", white(512, 512), mpp=None)
    make_shards(1)

    told = invoke("record")

    assert told.output.endswith("Dagster was told of 0 results and 1 failure of 1 slide.\n"), told.output
    assert failures(instance)["broken"] != before
    key = dg.AssetRecordsFilter(dg.AssetKey("tissue_mask"), asset_partitions=["broken"])
    event = instance.fetch_observations(key, limit=1).records[0].asset_observation
    assert event
    assert event.metadata["status"].value == "skipped"


def test_nothing_is_computed_and_what_is_missing_stays_so(home, instance, lab):
    invoke("materialize", "--shard", "1/2")
    before = sorted(path.name for path in (lab / "output" / "patches").iterdir())

    invoke("record")

    assert sorted(path.name for path in (lab / "output" / "patches").iterdir()) == before
    assert len(before) == 1
    assert set(instance.get_dynamic_partitions("slides")) < {"a", "b", "broken"}


@pytest.fixture
def with_cases(lab) -> Recipe:
    """The same project with a table of cases: one of both good slides, and one of a good slide and the broken one."""
    (lab / "plugin.py").write_text(PLUGIN)
    (lab / "cases.csv").write_text(
        "case_id,slide_path\n" + "".join(f"{case},slides/{stem}.svs\n" for case, stem in CASES)
    )
    geometry = 'patch_encoders = ["tiny"]\nprecision = "float32"'
    patients = '[patients]\nmanifest = "cases.csv"\nencoders = ["mean-tiny"]\n'
    (lab / "atlaspatch.toml").write_text(f'plugins = ["plugin.py"]\n{project_text(geometry=geometry)}\n{patients}')
    return make_recipe(load_project(lab / "atlaspatch.toml"))


@pytest.mark.e2e
def test_dagster_hears_of_cases_once_and_of_those_that_failed(home, instance, with_cases):
    make_shards(1)
    statuses = Counter(outcome.status for outcome in encode_cases(manifest_of(with_cases.project), with_cases))
    [path] = (with_cases.project.output / "patient_features").rglob("*.h5")
    before = path.stat().st_mtime_ns
    assert statuses[Status.COMPUTED] == 1

    first, second = invoke("record"), invoke("record")

    assert first.output.endswith(" of 3 slides and 2 cases.\n"), first.output
    assert second.output.endswith("Dagster was told of 0 results and 0 failures.\n"), second.output
    states = case_validities(with_cases, instance, recorded_validities(with_cases, instance))
    assert {case.stem: case.state for case in states} == {"whole": State.FRESH, "half": State.FAILED}
    assert set(instance.get_dynamic_partitions("cases")) == {"whole", "half"}
    assert set(instance.get_dynamic_partitions("slides")) == {"a", "b", "broken"}
    assert said(instance, "patient_embedding/mean-tiny", "whole")["slides"] == 2
    assert failures(instance, "patient_embedding/mean-tiny").keys() == {"half"}
    assert path.stat().st_mtime_ns == before


def test_a_table_of_cases_that_cannot_be_used_is_one_sentence(home, instance, with_cases):
    make_shards(1)
    Path("cases.csv").write_text("nonsense\n")

    told = invoke("record")

    assert told.exit_code == 1
    assert "cases.csv: the column case_id is missing" in told.output.splitlines()[-1]


@pytest.mark.usefixtures("home")
def test_a_record_that_does_not_end_is_not_waited_for_for_ever(lab, monkeypatch):
    monkeypatch.setattr("atlaspatch_assets.cli.record.SECONDS_TO_WAIT", 0.1)
    with lock_of(load_project(lab / "atlaspatch.toml").output, "record"):
        waiting = invoke("record")
    assert waiting.exit_code == 1
    assert "another 'atlaspatch record' has told of it for over 0 s; run this again" in waiting.output
    assert invoke("record").exit_code == 0
