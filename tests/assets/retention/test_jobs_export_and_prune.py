"""Jobs of the UI: what each would do is told first, and then done; on an instance in a folder, as in DAGSTER_HOME."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from extensions import write_extension
from prepared import PreparedFolder
from small_projects import paint, project, run

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_core.config.project import Project
from atlaspatch_core.storage.atomic import slide_lock

OPS = {
    "materialize_new": "find_new",
    "materialize_stale": "find_stale",
    "audit": "audit_outputs",
    "export": "export_results",
    "retire_slides": "retire",
    "prune_temporary_files": "sweep",
}


@pytest.fixture
def instance(tmp_path, open_instance):
    with open_instance(tmp_path / "home") as instance:
        yield instance


@pytest.fixture
def lab_instance(lab, open_instance):
    with open_instance(lab.output.parent / "home") as instance:
        yield instance


def launch(of: Project, instance: dg.DagsterInstance, job: str, **config) -> dg.ExecuteInProcessResult:
    definition = build_definitions(of).resolve_job_def(job)
    run_config = {"ops": {OPS[job]: {"config": config}}}
    return definition.execute_in_process(instance=instance, run_config=run_config, raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return what a job says on its page: of its output, or of its failure."""
    for event in result.all_events:
        if event.event_type_value == "STEP_OUTPUT" and event.step_output_data.metadata:
            return {name: entry.value for name, entry in event.step_output_data.metadata.items()}
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            failure = event.step_failure_data.user_failure_data
            values = {name: entry.value for name, entry in failure.metadata.items()}
            return values | {"failure": failure.description}
    raise AssertionError("the job said nothing")


def rows(table: dg.TableMetadataValue | Any) -> list[dict[str, Any]]:
    return [record.data for record in table.records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, open_instance) -> PreparedFolder:
    def prepare(folder: Path) -> None:
        paint(folder / "slides", "a", "b")
        with open_instance(folder / "home") as instance:
            assert run(project(folder, encoders=True), instance, ["a", "b"]).success

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def lab(finished) -> Project:
    """Two finished slides."""
    return project(finished.put_back(), encoders=True)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts}


def test_export_says_what_it_would_write_then_writes_it_then_finds_it_unchanged(lab, lab_instance, tmp_path):
    config = {"layout": "pt", "folder": str(tmp_path / "to")}

    dry, real = (
        launch(lab, lab_instance, "export", **config),
        launch(lab, lab_instance, "export", **config, dry_run=False),
    )
    again = launch(lab, lab_instance, "export", **config, dry_run=False)

    assert dry.success
    assert real.success
    assert again.success
    assert (told(dry)["slides"], told(dry)["planned"], told(dry)["files"]) == (2, 2, 4)
    assert (told(real)["written"], told(real)["files"], told(again)["unchanged"]) == (2, 4, 2)
    assert rows(told(real)["exported"])[0] == {"slide": "a", "fate": "written", "files": 2, "unchanged": 0, "why": ""}
    assert len(list((tmp_path / "to").glob("*/*.pt"))) == 4


def test_a_dry_export_touches_nothing(lab, lab_instance, tmp_path):
    launch(lab, lab_instance, "export", layout="trident", folder=str(tmp_path / "to"))

    assert not (tmp_path / "to").exists()


def test_the_job_offers_the_layouts_of_the_plugins_of_its_project(lab, lab_instance, tmp_path):
    plugged = lab.model_copy(update={"plugins": (write_extension(tmp_path, "places.py"),)})
    config = {"folder": str(tmp_path / "to"), "dry_run": False}

    result = launch(plugged, lab_instance, "export", layout="places", **config)

    assert result.success
    assert sorted(path.name for path in (tmp_path / "to").glob("*.csv")) == ["a.csv", "b.csv"]
    with pytest.raises(dg.DagsterInvalidConfigError, match="places"):
        launch(lab, lab_instance, "export", layout="places", **config)


def test_an_export_that_is_not_whole_fails_and_says_which_slides(lab, lab_instance, tmp_path):
    outlines = lab.output / "contours_geojson" / "a.geojson"
    top = json.loads(outlines.read_text())
    top["features"][0]["geometry"]["coordinates"] = [[[0, 0], [500, 0], [500, 500], [0, 500], [0, 0]]]
    outlines.write_text(json.dumps(top))

    result = launch(lab, lab_instance, "export", layout="pt", folder=str(tmp_path / "to"), dry_run=False)

    assert not result.success
    assert told(result)["failure"].startswith(
        "1 of 2 slides were not, or not wholly, exported: a: patch_coords is stale"
    )
    assert (told(result)["refused"], told(result)["written"]) == (1, 1)
    assert rows(told(result)["exported"])[0]["slide"] == "a"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"folder": "relative"}, "relative: is no absolute path"),
        ({"encoders": ["uni_v9"]}, "there is no encoder uni_v9 among the results; there is efficientnet_lite0"),
        ({"layout": "geojson", "column": "pc9"}, "column 'pc9': give"),
    ],
)
def test_a_wrong_export_is_one_sentence(lab, lab_instance, tmp_path, config, reason):
    base = {"layout": "pt", "folder": str(tmp_path / "to"), "dry_run": False}

    result = launch(lab, lab_instance, "export", **(base | config))

    assert not result.success
    assert reason in told(result)["failure"]


def orphan(path: Path, *, minutes: float = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    since = time.time() - 60 * minutes
    os.utime(path, (since, since))
    return path


def test_half_written_files_are_listed_first_and_removed_when_told_to(instance, tmp_path):
    of = project(tmp_path)
    output = tmp_path / "output"
    ours = [
        orphan(output / folder / f".a.{number:032x}.tmp")
        for number, folder in enumerate(["patches", "slides", "contours_geojson", ".", "patient_features/moozy"])
    ]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ours.append(orphan(output / ".index" / f"records.json.{ended.pid}"))
    (output / "patches" / "a.h5").write_bytes(b"whole")
    before = files(output)

    dry = launch(of, instance, "prune_temporary_files")
    assert files(output) == before
    real = launch(of, instance, "prune_temporary_files", dry_run=False)

    assert (told(dry)["to_remove"], told(dry)["removed"], told(dry)["bytes"]) == (6, 0, 24)
    assert {row["fate"] for row in rows(told(dry)["half_written"])} == {"would go"}
    assert (told(real)["removed"], told(real)["to_remove"]) == (6, 0)
    assert files(output) == before - set(ours)


def test_what_a_live_process_writes_and_what_is_young_stays(instance, tmp_path):
    of, output = project(tmp_path), tmp_path / "output"
    held = orphan(output / "patches" / f".a.{1:032x}.tmp")
    young = orphan(output / "patches" / f".b.{2:032x}.tmp", minutes=5)
    draft = orphan(output / ".index" / f"records.json.{os.getpid()}")
    like_ours = orphan(output / "patches" / ".notes.tmp")

    with slide_lock(output, "a"):
        result = launch(of, instance, "prune_temporary_files", dry_run=False)

    fates = {Path(row["file"]): row["fate"] for row in rows(told(result)["half_written"])}
    busy = "a process writes to it"
    assert fates == {held: busy, young: "younger than 60 minutes", draft: busy}
    assert all(path.exists() for path in (held, young, draft, like_ours))
    launch(of, instance, "prune_temporary_files", dry_run=False, least_minutes=0)
    assert not held.exists()
    assert not young.exists()


def test_new_outputs_are_listed_with_the_reason(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path)
    run(of, instance, ["a"])
    instance.add_dynamic_partitions("slides", ["b"])

    result = launch(of, instance, "materialize_new")

    assert rows(told(result)["reasons"]) == [
        {"output": output, "slides": 1, "why": "missing", "such_as": "b"}
        for output in ("slide", "tissue_mask", "patch_coords")
    ]


def test_the_audit_tells_how_many_it_looked_at_and_a_dry_one_looks_at_none(lab, lab_instance):
    dry = launch(lab, lab_instance, "audit", dry_run=True, share=1.0)
    real = launch(lab, lab_instance, "audit", share=1.0)

    assert (told(dry)["looked_at"], told(dry)["failed"], told(dry)["sample"]) == (2, 0, "a, b")
    assert not [event for event in dry.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    assert [event for event in real.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION"]
    found = {(row["slide"], row["output"], row["reason"]) for row in rows(told(real)["findings"])}
    assert ("a", "patch_features/efficientnet_lite0", "all 4 rows are the same") in found
    assert told(real)["failed"] == len(found) == 4, "both slides are painted flat, and alike"


def test_retirement_lists_what_goes(instance, tmp_path):
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path)
    assert run(of, instance, ["a", "b"]).success
    (tmp_path / "slides" / "a.svs").unlink()

    dry = launch(of, instance, "retire_slides", slides=["a"])
    assert instance.get_dynamic_partitions("slides") == ["a", "b"]
    real = launch(of, instance, "retire_slides", slides=["a"], dry_run=False)

    assert (told(dry)["slides"], told(dry)["retired"], told(real)["retired"]) == (1, 0, 1)
    assert rows(told(dry)["plan"])[0]["outputs"] == "would be kept"
    assert instance.get_dynamic_partitions("slides") == ["b"]


@pytest.mark.quick
def test_every_job_says_what_it_is_for_and_documents_each_setting():
    defs = build_definitions(project(Path("/nowhere"), encoders=True))
    for name, op in OPS.items():
        job = defs.resolve_job_def(name)
        assert job.description, name
        (definition,) = (node for node in job.all_node_defs if node.name == op)
        fields = definition.config_schema.config_type.fields
        assert "dry_run" in fields, name
        assert all(field.description for field in fields.values()), name
