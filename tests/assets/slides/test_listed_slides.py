"""Slides that somebody lists in the launchpad: those that the project has are run, any other name is refused."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples
from small_projects import paint, project

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.listed_keys import refuse_unknown
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project

SLIDES = ProjectNames().slides


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield instance


def launch(of: Project, instance: dg.DagsterInstance, *stems: str) -> dg.ExecuteInProcessResult:
    """Run as the launchpad does: one partition is chosen, the configuration is written by hand."""
    job = build_definitions(of).resolve_job_def("process_slides")
    config = SLIDES.config(stems)
    return job.execute_in_process(instance=instance, partition_key="a", run_config=config, raise_on_error=False)


def reason(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (event for event in result.all_events if event.is_step_failure)
    assert event.step_failure_data.user_failure_data
    return str(event.step_failure_data.user_failure_data.description)


def test_a_mistyped_stem_is_refused_with_near_names_and_never_a_partition(tmp_path, instance):
    paint(tmp_path / "slides", "a", "kidney-01", "kidney-02")
    SLIDES.register(instance, ["a", "kidney-01"])

    result = launch(project(tmp_path), instance, "a", "Kidny-01")

    assert not result.success
    assert "no slide called 'Kidny-01' (near: kidney-01, kidney-02)" in reason(result)
    assert SLIDES.keys(instance) == {"a", "kidney-01"}
    assert not result.get_asset_materialization_events()


def test_a_slide_in_the_folders_that_is_no_partition_yet_is_run(tmp_path, instance):
    paint(tmp_path / "slides", "a", "new")
    SLIDES.register(instance, ["a"])
    assert launch(project(tmp_path), instance, "new").success
    assert SLIDES.keys(instance) == {"a", "new"}


def test_a_mistyped_case_is_refused_as_well(tmp_path, instance):
    paint(tmp_path / "slides", "a")
    (tmp_path / "cases.csv").write_text("case_id,slide_path\npatient-1,slides/a.svs\n")
    patients = {"manifest": tmp_path / "cases.csv", "encoders": ["mean-efficientnet_lite0"]}
    cases = ProjectNames().cases
    cases.register(instance, ["patient-1"])
    job = build_definitions(project(tmp_path, patients=patients)).resolve_job_def("process_cases")
    result = job.execute_in_process(
        instance=instance, partition_key="patient-1", run_config=cases.config(["patient-l"]), raise_on_error=False
    )
    assert "no case called 'patient-l' (near: patient-1)" in reason(result)
    assert cases.keys(instance) == {"patient-1"}


NAMES = st.sets(st.text(min_size=1, max_size=8), max_size=6)


@examples(30)
@given(partitions=NAMES, in_folders=NAMES, listed=NAMES)
def test_exactly_what_is_neither_a_partition_nor_in_the_folders_is_refused(partitions, in_folders, listed):
    with dg.DagsterInstance.ephemeral() as instance:
        SLIDES.register(instance, partitions)
        unknown = listed - partitions - in_folders
        try:
            refuse_unknown(SLIDES, instance, sorted(listed), lambda: in_folders)
        except dg.Failure as failure:
            assert unknown
            assert all(repr(key) in str(failure.description) for key in sorted(unknown)[:3])  # noqa: PT017
        else:
            assert not unknown
        assert SLIDES.keys(instance) == partitions
