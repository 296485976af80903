"""Small projects for tests: painted slides, and what Dagster makes of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg
from painting import paint_slide, stain, white

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project, make_project

GEOMETRY = {"patch_size": 256, "target_mag": 20, "precision": "float32"}
ENCODERS = {"patch_encoders": ["efficientnet_lite0"], "slide_encoders": ["mean-efficientnet_lite0"]}


def paint(folder: Path, *stems: str) -> None:
    """Paint slides of 1024 px at 0.5 µm/px with four patches of tissue, each a little larger than the one before."""
    folder.mkdir(exist_ok=True)
    for index, stem in enumerate(stems):
        paint_slide(folder / f"{stem}.svs", stain(white(1024, 1024), 256, 256, 512 + 16 * index, 512))


def break_slide(folder: Path, stem: str) -> None:
    """Write a file that no reader opens."""
    folder.mkdir(exist_ok=True)
    (folder / f"{stem}.svs").write_bytes(b"no slide")


def project(folder: Path, *, encoders: bool = False, **values) -> Project:
    """Return a project whose slides lie in ``folder/slides``; without encoders it ends at the coords."""
    geometry = GEOMETRY | (ENCODERS if encoders else {})
    base = {
        "output": folder / "output",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [geometry],
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_project(base | values, origin="test")


def run(
    of: Project,
    instance: dg.DagsterInstance,
    stems: Sequence[str],
    *,
    force: bool = False,
    assets: Sequence[dg.AssetKey] | None = None,
    retries: int | None = None,
) -> dg.ExecuteInProcessResult:
    """Run the job over a batch: one partition stands for it, the configuration lists the slides."""
    slides = ProjectNames.of(of).slides
    slides.register(instance, stems)
    job = build_definitions(of).resolve_job_def(slides.job_name)
    config = slides.config(stems, force=force)
    if retries is not None:
        config["ops"][slides.op_name]["config"] |= {"retries": retries, "retry_seconds": 0}
    return job.execute_in_process(
        instance=instance,
        partition_key=stems[0],
        run_config=config,
        asset_selection=assets,
        raise_on_error=False,
    )


def create_runs(
    of: Project, instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest] | None
) -> list[dg.DagsterRun]:
    """Create the runs of requests, as the daemon does; they do not begin."""
    definitions, runs = build_definitions(of), []
    for request in requests or ():
        job = definitions.resolve_job_def(str(request.job_name))
        tags = {**request.tags, "dagster/partition": str(request.partition_key), "dagster/run_key": request.run_key}
        runs.append(instance.create_run_for_job(job, run_config=request.run_config, tags=tags))
    return runs


def last(instance: dg.DagsterInstance, asset: str, stem: str) -> dg.EventLogRecord:
    """Return the latest materialisation of a slide's asset."""
    key = dg.AssetKey(asset.split("/"))
    asked = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[stem])
    return instance.fetch_materializations(asked, limit=1).records[0]


def said(instance: dg.DagsterInstance, asset: str, stem: str) -> dict:
    """Return the metadata of that materialisation as plain values."""
    event = last(instance, asset, stem).asset_materialization
    assert event is not None
    return {name: entry.value for name, entry in event.metadata.items()}


def failed_slides(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return stem and reason of the slides that ended a run."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    return failure.metadata["failed_slides"].value
