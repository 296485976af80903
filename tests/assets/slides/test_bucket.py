"""Slides of a bucket as partitions: found by the sensor, worked on by runs, gone when they are, and not before."""

from collections.abc import Iterator

import dagster as dg
import pytest
from bucket import BUCKET, Bucket, giving_up_after, running_bucket, use_bucket
from small_projects import paint, project, run, said

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project

URL = f"s3://{BUCKET}/cohort"


@pytest.fixture
def bucket(monkeypatch) -> Iterator[Bucket]:
    with running_bucket() as bucket:
        use_bucket(bucket, monkeypatch)
        yield bucket


def tick(of: Project, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    definitions = build_definitions(of)
    with dg.build_sensor_context(instance, definitions=definitions, sensor_name="new_slides") as context:
        return definitions.resolve_sensor_def("new_slides")(context)  # pyright: ignore


@pytest.mark.e2e
def test_a_bucket_is_watched_worked_on_and_not_taken_for_empty_when_it_is_away(
    bucket, tmp_path, instance, files_at_rest
):
    paint(tmp_path / "slides", "a", "b")
    bucket.put_folder(tmp_path / "slides", "cohort")
    of = project(tmp_path, slides={"folders": [URL]})

    found = tick(of, instance)

    assert isinstance(found, dg.SensorResult)
    (added,) = found.dynamic_partitions_requests or ()
    assert sorted(added.partition_keys) == ["a", "b"]
    assert len(found.run_requests or ()) == 1
    assert run(of, instance, ["a", "b"]).success
    assert said(instance, "slide", "a")["path"] == f"{URL}/a.svs"

    bucket.faults.gone = True
    with giving_up_after(2):
        away = tick(of, instance)
    assert isinstance(away, dg.SkipReason)
    assert f"{URL} cannot be read, its store does not answer as it should" in str(away.skip_message)
    assert ProjectNames.of(of).slides.keys(instance) == {"a", "b"}
    bucket.faults.gone = False
    again = tick(of, instance)
    assert isinstance(again, dg.SensorResult)
    assert not again.run_requests

    of.output.rename(tmp_path / "mounted elsewhere")
    of.output.mkdir()
    for _ in range(2):
        unmounted = tick(of, instance)
        assert isinstance(unmounted, dg.SkipReason)
        assert "mount its disk" in str(unmounted.skip_message)
