"""An output folder that is read-only, full or away: runs stop, sensors wait, and then all goes on with no hand."""

import shutil
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from disks import fill, remount, small_disk
from project_files import project_text
from small_projects import paint, project, run, said
from upgrading import requested_runs

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.dagster_internals import data_versions
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib import stopped_runs
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_assets.lib.names import PROCESSED
from atlaspatch_assets.lib.recorded import failure_reasons
from atlaspatch_core.config.project import Project
from atlaspatch_core.storage.store import Store

PROJECT = project_text(runtime="slides_per_run = 1")
SENSORS = ("new_slides", "edited_masks", "propose_upgrade", "resume_stopped")
ASSETS = [dg.AssetKey(name) for name in ("slide", "tissue_mask", "patch_coords")]


@pytest.fixture
def no_pause(monkeypatch) -> None:
    monkeypatch.setattr(stopped_runs, "FIRST_PAUSE", -stopped_runs.FIRST_PAUSE)


def tick(of: Project, instance: dg.DagsterInstance, sensor: str) -> dg.SensorResult | dg.SkipReason:
    definitions = build_definitions(of)
    with dg.build_sensor_context(instance, definitions=definitions, sensor_name=sensor) as context:
        made = definitions.resolve_sensor_def(sensor)(context)  # pyright: ignore
        return next(iter(made)) if sensor == "resume_stopped" else made  # pyright: ignore


def failed_stems(instance: dg.DagsterInstance) -> set[str]:
    return {stem for key in ASSETS for stem in failure_reasons(instance, dg.AssetCheckKey(key, PROCESSED))}


def take_up(of: Project, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    job = build_definitions(of).resolve_job_def(str(request.job_name))
    tags = {**request.tags, "dagster/run_key": str(request.run_key)}
    return job.execute_in_process(
        instance=instance, partition_key=request.partition_key, run_config=dict(request.run_config), tags=tags
    )


@pytest.mark.usefixtures("files_at_rest", "no_pause")
@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_an_output_that_cannot_be_written_stops_runs_and_touches_no_slide(tmp_path, instance, fault):
    paint(tmp_path / "slides", "a", "b")
    with small_disk(tmp_path / "output") as disk:
        of = project(tmp_path)
        assert run(of, instance, ["a"]).success
        ballast = fill(disk) if fault == "full" else disk / "none"
        if fault == "read-only":
            remount(disk, "ro")

        stopped = run(of, instance, ["a", "b"])

        assert not stopped.success
        (failure,) = (event.step_failure_data for event in stopped.all_events if event.is_step_failure)
        reason = str(failure.user_failure_data.description)  # pyright: ignore
        assert str(disk) in reason
        assert ("mount it writable" if fault == "read-only" else "free space") in reason
        assert failed_stems(instance) == set()
        for sensor in SENSORS:
            skipped = tick(of, instance, sensor)
            assert isinstance(skipped, dg.SkipReason)
            assert str(disk) in str(skipped.skip_message)

        if fault == "read-only":
            remount(disk, "rw")
        ballast.unlink(missing_ok=True)
        again = tick(of, instance, "new_slides")
        assert isinstance(again, dg.SensorResult)
        (request,) = (each for each in again.run_requests or () if each.tags.get(stopped_runs.ATTEMPT_TAG))
        assert take_up(of, instance, request).success
        assert all(instance.get_materialized_partitions(key) == {"a", "b"} for key in ASSETS)
        later = tick(of, instance, "new_slides")
        assert isinstance(later, dg.SensorResult)
        assert not later.run_requests


def test_what_was_stopped_is_taken_up_after_a_pause_that_grows(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    with small_disk(tmp_path / "output") as disk:
        remount(disk, "ro")
        run(project(tmp_path), instance, ["a"])
    slides = stopped_runs.ProjectNames.of(project(tmp_path)).slides

    assert stopped_runs.again_requests(slides, instance) == []


def test_an_output_whose_disk_is_away_is_no_empty_output(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    assert isinstance(tick(of, instance, "edited_masks"), dg.SensorResult), "nothing was made yet"
    assert run(of, instance, ["a"]).success
    of.output.rename(tmp_path / "mounted elsewhere")
    of.output.mkdir()

    skipped = tick(of, instance, "new_slides")

    assert isinstance(skipped, dg.SkipReason)
    assert f"{of.output} is empty, and results were written to it; mount its disk" in str(skipped.skip_message)
    of.output.rmdir()
    (tmp_path / "mounted elsewhere").rename(of.output)
    assert Store(of.output).geojson("a").is_file()
    assert isinstance(tick(of, instance, "new_slides"), dg.SensorResult)


def test_a_home_that_went_away_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "disk" / "home"))
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    paint(tmp_path / "slides", "a", "b", "c")
    with small_disk(tmp_path / "disk") as disk:
        home = dagster_home()
        assert CliRunner().invoke(cli, ["materialize", "a"]).exit_code == 0
        remount(disk, "ro")

        told = CliRunner().invoke(cli, ["materialize", "b"])

        assert told.exit_code == 1, told.output
        assert told.stderr.count("Error: ") == 1
        assert f"{home}: Dagster's home cannot be written; mount it writable" in told.stderr
        assert (Path("output") / "patches" / "a.h5").is_file()


def test_a_command_stops_at_the_first_run_that_the_output_stopped(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    paint(tmp_path / "slides", "a", "b", "c")
    with small_disk(tmp_path / "output") as disk:
        remount(disk, "ro")

        told = CliRunner().invoke(cli, ["materialize"])

    assert told.exit_code == 1
    assert told.output.count("mount it writable") == 1
    assert told.output.count("FAILED") == 1
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs_count() == 1


def statuses(of: Project, instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, dg.AssetPartitionStatus | None]:
    slides = stopped_runs.ProjectNames.of(of).slides
    found = instance.get_status_by_partition(key, sorted(slides.keys(instance)), slides.definition)
    return dict(found or {})


def stop_reason(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    assert "failed_slides" not in failure.user_failure_data.metadata
    return str(failure.user_failure_data.description)


def test_a_run_from_the_web_ui_does_not_fill_an_output_whose_disk_is_away(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path)
    assert run(of, instance, ["a", "b"]).success
    versions = {key: data_versions(instance, key) for key in ASSETS}
    of.output.rename(tmp_path / "mounted elsewhere")
    of.output.mkdir()

    stopped = run(of, instance, ["a", "b"])

    assert f"{of.output} is empty, and results were written to it; mount its disk" in stop_reason(stopped)
    assert list(of.output.iterdir()) == []
    assert failed_stems(instance) == set()
    for key in ASSETS:
        assert set(statuses(of, instance, key).values()) == {dg.AssetPartitionStatus.MATERIALIZED}
        assert data_versions(instance, key) == versions[key]


def test_results_that_were_deleted_on_purpose_are_made_again_by_a_command(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    paint(tmp_path / "slides", "a")
    assert CliRunner().invoke(cli, ["materialize"]).exit_code == 0
    shutil.rmtree("output")
    Path("output").mkdir()

    assert CliRunner().invoke(cli, ["materialize"]).exit_code == 0
    assert (Path("output") / "patches" / "a.h5").is_file()


@pytest.mark.usefixtures("files_at_rest", "no_pause")
def test_a_folder_of_slides_that_is_away_stops_runs_and_touches_no_slide(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b")
    of = project(tmp_path)
    assert run(of, instance, ["a", "b"]).success
    (tmp_path / "slides").rename(tmp_path / "mounted elsewhere")
    changed = project(tmp_path, tissue={"closing_um": 4.0})

    stopped = run(changed, instance, ["a", "b"], retries=0)

    reason = stop_reason(stopped)
    assert reason.startswith("2 slides of this run cannot be seen, and none has failed: ")
    assert str(tmp_path / "slides") in reason
    assert failed_stems(instance) == set()
    for key in ASSETS:
        assert set(statuses(of, instance, key).values()) == {dg.AssetPartitionStatus.MATERIALIZED}
    assert isinstance(tick(changed, instance, "new_slides"), dg.SkipReason)

    (tmp_path / "mounted elsewhere").rename(tmp_path / "slides")
    again = tick(changed, instance, "new_slides")
    assert isinstance(again, dg.SensorResult)
    (request,) = (each for each in again.run_requests or () if each.tags.get(stopped_runs.ATTEMPT_TAG))
    assert take_up(changed, instance, request).success
    assert said(instance, "tissue_mask", "a")["status"] == "computed"


def test_what_a_job_found_necessary_is_asked_for_once_results_can_be_written(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    of = project(tmp_path)
    assert run(of, instance, ["a"]).success
    changed = project(tmp_path, tissue={"closing_um": 4.0})
    job = build_definitions(changed).resolve_job_def("materialize_stale")
    config = {"ops": {"find_stale": {"config": {"dry_run": False}}}}
    result = job.execute_in_process(instance=instance, run_config=config)
    of.output.rename(tmp_path / "mounted elsewhere")
    of.output.mkdir()

    assert requested_runs(changed, instance, result) == []
    waits = tick(changed, instance, "resume_stopped")
    assert isinstance(waits, dg.SkipReason)
    assert "is empty, and results were written to it" in str(waits.skip_message)

    of.output.rmdir()
    (tmp_path / "mounted elsewhere").rename(of.output)
    request = tick(changed, instance, "resume_stopped")
    assert isinstance(request, dg.RunRequest)
    assert request == tick(changed, instance, "resume_stopped")
    assert take_up(changed, instance, request).success
    assert isinstance(tick(changed, instance, "resume_stopped"), dg.SkipReason)
    assert said(instance, "tissue_mask", "a")["status"] == "computed"
