"""``python -m benchmarks.judging``: how long Dagster and we take to say what is fresh and what is stale.

Every slide has one materialisation of every asset in the real SQLite storage, and its record in the output folder. The
events of the first slide are reported; those of the others are copies of the rows that these made, since reporting
takes 24 ms each.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import dagster as dg

from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.validity.recipe import make_recipe
from benchmarks.measuring import Measure
from benchmarks.platform import lay_files, open_instance, project

READ_EVENTS = """
    SELECT id, run_id, event, dagster_event_type, timestamp, step_key, asset_key FROM event_logs WHERE partition = ?
"""
WRITE_EVENT = """
    INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
COPY_TAGS = """
    INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)
    SELECT event_id + ?, asset_key, key, value, event_timestamp FROM asset_event_tags WHERE event_id = ?
"""


def materialise(folder: Path, instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], stems: Sequence[str]) -> None:
    """Give every slide an event of every asset."""
    first, *others = stems
    for key in keys:
        tags = {"dagster/data_version": "0" * 16, "dagster/code_version": "1" * 16}
        metadata = {"status": "computed", "why": "it was not there yet"} | {f"number_{n}": float(n) for n in range(8)}
        event = dg.AssetMaterialization(key, partition=first, metadata=metadata, tags=tags)
        instance.report_runless_asset_event(event)
    (path,) = (folder / "home").rglob("index.db")
    with sqlite3.connect(path, timeout=60) as database:
        events = database.execute(READ_EVENTS, (first,)).fetchall()
        for number, stem in enumerate(others, 1):
            shift = number * len(events)
            for event in events:
                text = event[2].replace(f'"{first}"', f'"{stem}"')
                database.execute(WRITE_EVENT, (event[0] + shift, event[1], text, *event[3:], stem))
                database.execute(COPY_TAGS, (shift, event[0]))


def judging(folder: Path, count: int, rounds: int) -> Iterator[Measure]:
    """Yield the seconds of one asset's validity, and of all assets', at ``count`` slides."""
    of = project(folder, encoders=True)
    stems, recipe = lay_files(of, count), make_recipe(of)
    with open_instance(folder) as instance:
        names = ProjectNames.of(of)
        names.slides.register(instance, stems)
        materialise(folder, instance, names.asset_keys(stage.step for stage in recipe.stages), stems)
        features = recipe.stages_of("patch_features", of.geometry[0])[0].step
        for name, steps, goal in (("one_asset", [features], "< 10 s"), ("all_assets", None, "")):
            seconds = [_seconds(lambda: len(recorded_validities(recipe, instance, steps))) for _ in range(rounds)]  # noqa: B023
            detail = {"slides": count, "assets": len(recipe.stages), "first": round(seconds[0], 2), "rounds": rounds}
            yield Measure(f"validity_of_{name}_{count}", median(seconds), goal, "seconds", detail)


def _seconds(work) -> float:
    start = perf_counter()
    if not work():
        raise RuntimeError("nothing was judged")
    return perf_counter() - start


@click.command()
@click.option("--slides", multiple=True, type=int, default=(1000, 10_000, 100_000), show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(slides: Sequence[int], rounds: int) -> None:
    """Print one JSON line per measure."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    for count in slides:
        with tempfile.TemporaryDirectory() as folder:
            for measure in judging(Path(folder), count, rounds):
                click.echo(measure.line())


if __name__ == "__main__":
    main()
