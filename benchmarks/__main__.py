"""``python -m benchmarks``: every measure, one JSON line each, and a table at the end."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks import contention, downscaling, finding, isolation, looking, memory, reading, running, status
from benchmarks.measuring import Measure
from benchmarks.slides import make_slide

WORKERS = 2


def quick(folder: Path) -> Iterator[Measure]:
    """Yield what a minute allows."""
    large, small = make_slide(folder / "large.svs", 8192, 6144), make_slide(folder / "small.svs", 2048, 1536)
    wide = make_slide(folder / "wide.svs", 16_384, 12_288)
    coords = reading.tissue_corners(16_384, 12_288, 256, 256)
    yield from reading.compared("256", reading.Reading(wide, coords, 256, 256, WORKERS), 3)
    yield from running.read_bound(large, folder, 2)
    yield isolation.reading(large, folder, 3)
    yield isolation.commands(small, folder, 3)
    yield running.model_bound(small, folder, 1)
    yield looking.cold_start(folder, 1)
    yield from looking.finished_slides(folder, (10,), 5)


def everything(folder: Path) -> Iterator[Measure]:
    """Yield all measures; takes about a quarter of an hour on two cores."""
    yield from reading.measures(folder, 40_000, 30_000, WORKERS, 3)
    yield from reading.formats(folder, 8192, 6144, WORKERS, 3)
    large, small = make_slide(folder / "large.svs", 20_000, 15_000), make_slide(folder / "small.svs", 8192, 6144)
    yield from downscaling.measures(folder / "40x.svs", 20_000, 15_000, WORKERS, 5)
    yield from running.measures(large, small, folder, 3)
    yield from contention.measures(folder, 3)
    yield isolation.reading(large, folder, 5)
    yield isolation.commands(small, folder, 5)
    yield from looking.measures(folder, (10, 100, 1000), 3)
    yield from status.measures(folder / "status", 1000, 3)
    yield from finding.measures(folder, 100_000, 3)
    yield from memory.measures(folder, ((10_000, 8_000), (40_000, 30_000), (100_000, 80_000)))


@click.command()
@click.option("--quick", "in_a_minute", is_flag=True, help="Only what a minute allows.")
def main(in_a_minute: bool) -> None:
    """Print one JSON line per measure, and after the last one a table."""
    table = Table("measure", "value", "goal")
    with tempfile.TemporaryDirectory() as folder:
        for measure in (quick if in_a_minute else everything)(Path(folder)):
            click.echo(measure.line())
            unit = "×" if measure.unit == "ratio" else f" {measure.unit}"
            table.add_row(measure.name, f"{measure.value:.3g}{unit}", measure.goal)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    main()
