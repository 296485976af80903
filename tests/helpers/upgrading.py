"""Projects with a tiny network whose weights change, and what Dagster knows of them."""

from pathlib import Path

import dagster as dg
import numpy as np
from painting import paint_slide
from small_projects import project, run

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State

NETWORK = "timm-test_efficientnet"
FEATURES, EMBEDDING = f"patch_features/{NETWORK}", f"slide_embedding/mean-{NETWORK}"


def paint_noise(folder: Path, *stems: str) -> None:
    """Paint slides with four patches of coloured noise, so that patches differ."""
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    for stem in stems:
        pixels = np.full((1024, 1024, 3), 255, np.uint8)
        pixels[256:768, 256:768] = noise.integers((150, 40, 100), (250, 120, 200), (512, 512, 3))
        paint_slide(folder / f"{stem}.svs", pixels)


def with_weights(folder: Path, weights: Path, **values) -> Project:
    """Return a project whose features come from these weights, and whose embeddings come from them."""
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [f"mean-{NETWORK}"]}
    base = {"geometry": [geometry | values.pop("geometry", {})], "weights": {NETWORK: weights}}
    upgrades = {"canary_slides": 2, "canary_patches": 2} | values.pop("upgrades", {})
    runtime = {"device": "cpu", "read_workers": 1, "threads": 1, "slides_per_run": 2}
    return project(folder, upgrades=upgrades, runtime=runtime, **(base | values))


def made(folder: Path, weights: Path, instance: dg.DagsterInstance, *stems: str) -> Project:
    """Return a project whose slides were painted and taken to their embeddings."""
    paint_noise(folder / "slides", *stems)
    of = with_weights(folder, weights)
    assert run(of, instance, stems).success
    return of


def states(of: Project, instance: dg.DagsterInstance) -> dict[str, set[str]]:
    """Return output to the states of its slides, without those of which all slides are fresh."""
    found: dict[str, set[str]] = {}
    for validity in recorded_validities(make_recipe(of), instance):
        if validity.state is not State.FRESH:
            found.setdefault(str(validity.step), set()).add(f"{validity.stem} {validity.state}")
    return found


def requested_runs(of: Project, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[dg.RunRequest]:
    """Return what the sensor asks for after a run of these jobs."""
    defs = build_definitions(of)
    sensor = defs.resolve_sensor_def("launch_batches")
    assert isinstance(sensor, dg.RunStatusSensorDefinition)
    (event,) = (event for event in result.all_events if event.event_type_value == "PIPELINE_SUCCESS")
    context = dg.build_run_status_sensor_context(
        sensor_name="launch_batches", dagster_event=event, dagster_instance=instance, dagster_run=result.dagster_run
    )
    return [request for request in sensor(context) if isinstance(request, dg.RunRequest)]  # pyright: ignore
