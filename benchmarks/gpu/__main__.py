"""``python -m benchmarks.gpu``: one JSON line about the machine, then one each measure, and a table at the end."""

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from atlaspatch_core.encoders.devices import present_device, resolve_device
from atlaspatch_core.isolation.cores import usable_cores
from benchmarks.gpu.copies import copy_lines
from benchmarks.gpu.decoding import decoding_lines
from benchmarks.gpu.encoding import Compared, compare, lines_of
from benchmarks.gpu.feeding import reading_lines
from benchmarks.gpu.lines import Line, Unmeasured, guarded
from benchmarks.gpu.machine import machine
from benchmarks.gpu.networks import NETWORKS, SMALL_NETWORKS, Network
from benchmarks.gpu.options import batch_lines, compile_lines
from benchmarks.gpu.pairs import pair_lines
from benchmarks.gpu.setting import Setting, make_slides, place_patches
from benchmarks.gpu.streams import preprocessing_lines, stream_lines
from benchmarks.measuring import Measure

PARTS = ("pipeline", "reading", "copies", "batches", "compile", "pairs", "streams", "preprocessing", "decoding")
LARGE: dict[str, Any] = {
    "networks": NETWORKS, "precisions": ("float16", "bfloat16"), "size": (40_000, 30_000), "slides": 4,
    "batch_size": 128, "rounds": 3,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "networks": SMALL_NETWORKS, "precisions": ("float32",), "size": (2048, 1536), "slides": 2, "batch_size": 8,
    "rounds": 1,
}  # fmt: skip


def measures(setting: Setting, parts: tuple[str, ...]) -> Iterator[Line]:
    """Yield the measures of some parts, and a line for what cannot be measured here."""
    patches, compared = place_patches(setting), []
    if {"pipeline", "reading"} & set(parts):
        for network in setting.networks:
            for precision in setting.precisions:
                run = partial(pipeline_lines, setting, network, precision, patches, compared)
                yield from guarded(f"pipeline_over_bare_{network.name}_{precision}", run)
    if "reading" in parts:
        yield from guarded("reading_over_bare", partial(reading_lines, setting, compared))
    for network in setting.networks:
        yield from network_lines(setting, network, patches, parts)
    others = {
        "streams": partial(stream_lines, setting, setting.precisions[0]),
        "preprocessing": partial(preprocessing_lines, setting),
        "decoding": partial(decoding_lines, setting),
    }
    for part, run in others.items():
        if part in parts:
            yield from guarded(part, run)


def pipeline_lines(
    setting: Setting, network: Network, precision: str, patches: int, compared: list[Compared]
) -> Iterator[Line]:
    """Compare the pipeline with one bare model, note it in ``compared``, and yield its measures."""
    compared.append(compare(setting, network, precision, patches))
    yield from lines_of(compared[-1], setting)


def network_lines(setting: Setting, network: Network, patches: int, parts: tuple[str, ...]) -> Iterator[Line]:
    """Yield what is measured of a network in one precision, the last one."""
    precision = setting.precisions[-1]
    runs = {
        "copies": partial(copy_lines, setting, network, precision),
        "batches": partial(batch_lines, setting, network, precision, patches),
        "compile": partial(compile_lines, setting, network, precision, patches),
    }
    if network in (setting.networks[0], setting.networks[-1]):  # bound by reading, bound by the network
        runs["pairs"] = partial(pair_lines, setting, network, precision)
    for part, run in runs.items():
        if part in parts:
            yield from guarded(f"{part}_{network.name}_{precision}", run)


@click.command()
@click.option("--device", default="auto", help="auto, cuda, cuda:N or cpu; auto without a GPU is cpu, small.")
@click.option("--small", is_flag=True, help="Small networks and slides: seconds on a CPU.")
@click.option("--slides", type=click.IntRange(2), help="How many slides there are: 4, or 2 small ones.")
@click.option("--size", type=(int, int), metavar="W H", help="px of each: 40000 30000, or 2048 1536.")
@click.option("--batch-size", type=click.IntRange(1), help="Patches at a time of pipeline and bare model: 128, or 8.")
@click.option("--patch-size", default=256, show_default=True, help="px at 20x.")
@click.option("--readers", default=0, help="Threads that read; one per core when left out.")
@click.option("--rounds", type=click.IntRange(1), help="Of which medians are taken: 3, or 1.")
@click.option("--network", "names", multiple=True, help="Of these alone, such as vit_l_16; may be repeated.")
@click.option("--only", "parts", type=click.Choice(PARTS), multiple=True, help="These parts alone; may be repeated.")
def main(device: str, small: bool, names: tuple[str, ...], parts: tuple[str, ...], **options: Any) -> None:
    """Measure how near the pipeline comes to what this machine's GPU can do."""
    where = str(resolve_device(present_device() or "cpu" if device == "auto" else device))
    values = SMALL if small or where == "cpu" else LARGE
    values = values | {name: value for name, value in options.items() if value is not None}
    values["networks"] = networks_named(values["networks"], names)
    values["readers"] = values["readers"] or usable_cores()
    click.echo(dumps({"machine": machine(where)}))
    with tempfile.TemporaryDirectory() as folder:
        values["slides"] = make_slides(Path(folder), values["slides"], values["size"])
        sys.exit(print_all(measures(Setting(device=where, folder=Path(folder), **values), parts or PARTS)))


def networks_named(networks: tuple[Network, ...], names: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks of these names, all where none is given. Raises UsageError for a name that there is not."""
    known = {network.name: network for network in networks}
    if unknown := [name for name in names if name not in known]:
        raise click.UsageError(f"no network is called {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in names or known)


def print_all(lines: Iterator[Line]) -> int:
    """Print each line as it comes, and a table after the last one; return 1 where a measure failed, else 0."""
    table, failures = Table("measure", "value", "goal"), 0
    for line in lines:
        click.echo(line.line())
        if isinstance(line, Unmeasured):
            failures += line.failed
            table.add_row(line.name, "failed" if line.failed else "not measured", "")
        elif isinstance(line, Measure):
            unit = "×" if line.unit == "ratio" else f" {line.unit}"
            table.add_row(line.name, f"{line.value:.3g}{unit}", line.goal)
    Console(stderr=True).print(table)
    return int(failures > 0)


if __name__ == "__main__":
    main()
