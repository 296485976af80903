"""``python -m benchmarks.platform``: what Dagster costs, at 1,000 to 100,000 slides without pixels and on some with.

One JSON line per measure. All of it is the real sensor, the real job and the real SQLite storage in a temporary folder.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import cv2
import dagster as dg
import numpy as np
import tifffile

from atlaspatch_assets.cli.local_run import QUIET
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.slides import sensors
from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.arrival import ArrivalCursor
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.storage.records import Record, SlideRecord
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.measuring import Measure

SIDE = 512
"""px of a painted slide."""
GEOMETRY = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": ["mean-efficientnet_lite0"]}


def project(folder: Path, *, output: str = "output", encoders: bool = False) -> Project:
    geometry = GEOMETRY if encoders else {"patch_size": 256, "target_mag": 20}
    values = {"output": folder / output, "slides": {"folders": [folder / "slides"]}, "geometry": [geometry]}
    return make_project(values | {"runtime": {"device": "cpu"}}, origin="benchmark")


def open_instance(folder: Path) -> dg.DagsterInstance:
    (folder / "home").mkdir()
    return dg.DagsterInstance.local_temp(str(folder / "home"))


def lay_files(of: Project, count: int) -> list[str]:
    """Lay ``count`` files without pixels and the records that looking at them would have made."""
    stems = [f"slide_{number:06}" for number in range(count)]
    folder, store = of.slides.folders[0], Store(of.output)
    folder.mkdir(parents=True)
    store.record("").parent.mkdir(parents=True)
    for stem in stems:
        path = folder / f"{stem}.svs"
        path.touch()
        info = SlideInfo(stem, path, "openslide", (Level(9, 9, 1.0),), 0.5, "x", 20.0, "x")
        record = SlideRecord(info, Identity("slide", 1, {"content": stem}, {}), file_signature(path), None, False)
        store.record(stem).write_bytes(Record(record).to_bytes())
    return stems


def tick(of: Project, instance: dg.DagsterInstance, cursor: ArrivalCursor) -> tuple[float, Any]:
    """Evaluate the sensor once; return seconds and what it found."""
    definitions, reference = build_definitions(of), instance.get_ref()
    sensor = definitions.resolve_sensor_def("new_slides")
    with dg.build_sensor_context(instance_ref=reference, definitions=definitions, cursor=cursor.text) as context:
        start = perf_counter()
        found = sensor.evaluate_tick(context)
        return perf_counter() - start, found


def ticks(folder: Path, count: int) -> Iterator[Measure]:
    """Yield what a tick takes among ``count`` known slides: when nothing changed, when one came, without a cursor."""
    of = project(folder)
    stems = lay_files(of, count)
    with open_instance(folder) as instance:
        ProjectNames.of(of).slides.register(instance, stems)
        passed = ArrivalCursor(watermark=time.time() + 60)
        seconds, found = tick(of, instance, passed)
        assert not found.run_requests
        assert not found.asset_events
        yield Measure(f"tick_nothing_changed_{count}", seconds, "< 10 s", "seconds", {"said": found.skip_message})
        yield Measure(f"cursor_{count}", len(found.cursor), "< 1,000", "bytes")
        seconds = 0.0
        cursor, number = ArrivalCursor(), 0
        while number == 0 or ArrivalCursor.read(cursor.text).started:
            spent, found = tick(of, instance, cursor)
            cursor, seconds, number = ArrivalCursor.read(found.cursor), seconds + spent, number + 1
            assert not found.run_requests
        yield Measure(f"cursor_lost_{count}", seconds, "", "seconds", {"ticks": number})


def event_size(folder: Path, count: int) -> Measure:
    """Return the bytes that ``count`` materialisations of the usual metadata take, for 100,000 of them."""
    with open_instance(folder) as instance:
        metadata: dict[str, Any] = {"status": "computed", "why": "it was not there yet", "path": "/o/p.h5"}
        metadata |= {f"number_{number}": float(number) for number in range(8)} | {"fingerprint": "0" * 16}
        tags = {"dagster/data_version": "0" * 16, "dagster/code_version": "1" * 16}
        before, start = size(folder), perf_counter()
        for number in range(count):
            event = dg.AssetMaterialization("slide", partition=f"s{number}", metadata=metadata, tags=tags)
            instance.report_runless_asset_event(event)
        seconds = perf_counter() - start
    value = (size(folder) - before) / count * 100_000 / 1e6
    detail = {"events": count, "milliseconds_per_event": round(seconds / count * 1e3, 1)}
    return Measure("events_100000", value, "", "MB", detail)


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "home").rglob("*") if file.is_file())


def paint(folder: Path, count: int, bad_share: float) -> list[str]:
    """Paint ``count`` slides of four patches, of which a share is no slide at all; return the stems."""
    (folder / "slides").mkdir(parents=True)
    stems = [f"s{number:05}" for number in range(count)]
    every = round(1 / bad_share) if bad_share else count + 1
    for number, stem in enumerate(stems):
        path = folder / "slides" / f"{stem}.svs"
        if number % every == every // 2:
            path.write_bytes(b"no slide")
            continue
        pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
        cv2.circle(pixels, (256, 256), 120 + number % 100, (200, 80, 150), -1)
        description = f"Aperio Image Library v11.2.1\r\n{SIDE}x{SIDE}|MPP = 0.5"
        tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", description=description, metadata=None)
    return stems


def batches(folder: Path, count: int, bad_share: float) -> Iterator[Measure]:
    """Yield what the platform adds per slide and asset on tiny slides, from sensor to embeddings."""
    paint(folder, count, bad_share)
    of, alone = project(folder, encoders=True), project(folder, output="alone", encoders=True)
    core(project(folder, output="warm", encoders=True), most=2)  # imports, and the model's first load
    bare, failed = timed(lambda: core(alone))
    with open_instance(folder) as instance:
        empty = size(folder)
        seconds, listed = timed(lambda: arrive_and_run(of, instance))
        kept = size(folder) - empty
        assets = len(make_recipe(of).stages)
        done = len(instance.get_materialized_partitions(dg.AssetKey(["slide_embedding", "mean-efficientnet_lite0"])))
    assert listed == failed
    assert done == count - failed
    detail = {"slides": count, "bad": failed, "assets": assets, "seconds": round(seconds, 1), "core": round(bare, 1)}
    yield Measure("overhead_per_slide_and_asset", (seconds - bare) / count / assets * 1e3, "", "milliseconds", detail)
    yield Measure("platform_over_core", seconds / bare, "", "ratio")
    yield Measure("home_of_100000_slides", kept / count * 100_000 / 1e9, "", "GB", {"slides": count, "assets": assets})


def timed(work: Callable[[], int]) -> tuple[float, int]:
    start = perf_counter()
    made = work()
    return perf_counter() - start, made


def core(of: Project, most: int | None = None) -> int:
    """Take the slides through the pipeline without Dagster; return how many failed."""
    outcomes = process(find_slides(of).sources[:most], make_recipe(of))
    return len({outcome.stem for outcome in outcomes if outcome.status is Status.FAILED})


def arrive_and_run(of: Project, instance: dg.DagsterInstance) -> int:
    """Let the sensor find the slides and run the batches that it asks for; return how many slides it refused."""
    of_slides, cursor, refused, asked = ProjectNames.of(of).slides, ArrivalCursor(), 0, True
    job = build_definitions(of).resolve_job_def(of_slides.job_name)
    while asked:
        _, found = tick(of, instance, cursor)
        for event in found.asset_events:
            instance.report_runless_asset_event(event)
        for request in found.dynamic_partitions_requests or ():
            of_slides.register(instance, request.partition_keys)
        refused += len(found.asset_events)
        stems = [stem for request in found.run_requests or () for stem in slides_of(request)]
        for batch in in_batches(stems, of.runtime.slides_per_run):
            config = of_slides.config(batch) | QUIET
            job.execute_in_process(instance=instance, partition_key=batch[0], run_config=config, raise_on_error=False)
        cursor, asked = ArrivalCursor.read(found.cursor), bool(stems)
    return refused


def slides_of(request: dg.RunRequest) -> Sequence[str]:
    config: Any = request.run_config
    return next(iter(config["ops"].values()))["config"]["slides"]


@click.command()
@click.option("--partitions", multiple=True, type=int, default=(1000, 10_000, 100_000), show_default=True)
@click.option("--slides", default=200, show_default=True, help="Painted slides to take to their embeddings.")
@click.option("--bad", default=0.01, show_default=True, help="Share of them that is no slide.")
@click.option("--events", default=10_000, show_default=True, help="Events to measure the size of.")
def main(partitions: Sequence[int], slides: int, bad: float, events: int) -> None:
    """Print one JSON line per measure. 0 leaves a part out."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    sensors.SECONDS_AT_REST = 0.0  # what was laid a moment ago counts
    for count in filter(None, partitions):
        with tempfile.TemporaryDirectory() as folder:
            for measure in ticks(Path(folder), count):
                click.echo(measure.line())
    with tempfile.TemporaryDirectory() as folder:
        if events:
            click.echo(event_size(Path(folder), events).line())
    with tempfile.TemporaryDirectory() as folder:
        for measure in batches(Path(folder), slides, bad) if slides else ():
            click.echo(measure.line())


if __name__ == "__main__":
    main()
