"""A run computes by the project that it was asked for under, or not at all; after a reload it is asked for again."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples
from run_worker import execute_as
from small_projects import GEOMETRY, last, paint, project

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_pin import STOPPED, WHY, project_hash
from atlaspatch_core.config.project import Project

SLIDES = ProjectNames().slides
RANGE = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def job(of: Project) -> dg.JobDefinition:
    return build_definitions(of).resolve_job_def("process_slides")


def request(of: Project, instance: dg.DagsterInstance, stems: list[str], *, in_a_range: bool = False) -> dg.DagsterRun:
    """Make a run as the daemon does for a sensor, or for a backfill of the UI."""
    SLIDES.register(instance, stems)
    asked = SLIDES.request(stems, "key")
    tags = RANGE if in_a_range else {**asked.tags, "dagster/partition": stems[0]}
    config = {} if in_a_range else dict(asked.run_config)
    return instance.create_run_for_job(job(of), run_config=config, tags=tags)


def resumed(of: Project, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    definitions = build_definitions(of)
    sensor = definitions.resolve_sensor_def("resume_stopped")
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=definitions) as context:
        return list(sensor.evaluate_tick(context).run_requests or ())


def reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    (entry,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert entry.dagster_event
    failure = entry.dagster_event.step_failure_data.user_failure_data
    assert failure
    return str(failure.description)


@pytest.mark.parametrize("in_a_range", [False, True])
def test_a_run_under_a_changed_project_touches_no_slide_and_comes_again(tmp_path, instance, in_a_range):
    stems = ["a", "b", "c"]
    paint(tmp_path / "slides", *stems)
    before, after = project(tmp_path), project(tmp_path, geometry=[GEOMETRY | {"patch_size": 128}])
    run = request(before, instance, stems, in_a_range=in_a_range)

    run = execute_as(job(after), instance, run)

    assert run.status is dg.DagsterRunStatus.FAILURE
    assert reason(instance, run) == WHY
    assert not (tmp_path / "output").exists()
    assert resumed(before, instance) == []
    (again,) = resumed(after, instance)
    assert again.run_config["ops"]["slides_to_embeddings"]["config"]["slides"] == stems
    tags = {**again.tags, "dagster/partition": "a", "dagster/run_key": str(again.run_key)}
    second = instance.create_run_for_job(job(after), run_config=dict(again.run_config), tags=tags)
    assert execute_as(job(after), instance, second).status is dg.DagsterRunStatus.SUCCESS
    assert last(instance, "patch_coords", "c").run_id == second.run_id
    assert resumed(after, instance) == []


def test_a_change_that_decides_no_output_stops_no_run(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    run = request(project(tmp_path), instance, ["a"])
    faster = project(tmp_path, runtime={"device": "cpu", "read_workers": 2, "threads": 1, "slides_per_run": 3})
    assert execute_as(job(faster), instance, run).status is dg.DagsterRunStatus.SUCCESS
    assert not STOPPED.items() <= run.tags.items()


def test_results_get_no_identity_of_a_project_that_no_page_shows(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    before, after = project(tmp_path), project(tmp_path, geometry=[GEOMETRY | {"patch_size": 128}])
    jobs = [build_definitions(of).resolve_job_def("materialize_stale") for of in (before, after)]
    run = execute_as(jobs[1], instance, instance.create_run_for_job(jobs[0]))
    assert reason(instance, run) == WHY


SIZES = st.sampled_from([128, 256, 512])


@examples(20)
@given(sizes=st.tuples(SIZES, SIZES), outputs=st.tuples(st.booleans(), st.booleans()))
def test_projects_have_one_hash_where_they_make_the_same_in_the_same_place(tmp_path_factory, sizes, outputs):
    folder = tmp_path_factory.getbasetemp()
    one, other = (
        project(folder, geometry=[GEOMETRY | {"patch_size": size}], output=folder / f"output{where}")
        for size, where in zip(sizes, outputs, strict=True)
    )
    assert (project_hash(one) == project_hash(other)) == ((sizes[0], outputs[0]) == (sizes[1], outputs[1]))
