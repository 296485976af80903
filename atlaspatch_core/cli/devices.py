"""On which devices a command computes, and one worker process for each where there are several."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from logging import getLogger
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import option
from atlaspatch_core.cli.logs import notice
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.validity.outcome import Outcome

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Runtime
    from atlaspatch_core.discovery.sources import SlideSource
    from atlaspatch_core.pipeline.workers.worker import WorkerTask

GPUS = option(
    "--gpus",
    type=Whole(min=-1),
    multiple=True,
    help="GPUs, one worker process for each; -1 is a worker on the CPU and may be repeated. Workers take their slides "
    "from one queue.",
)


def devices_of(gpus: Sequence[int], gpu: int | None = None) -> tuple[str, ...]:
    """Return a device for every worker: GPUs once each, CPU workers as often as they are named; ``auto`` for none."""
    numbers = tuple(gpus) or (() if gpu is None else (gpu,))
    unique = [number for place, number in enumerate(numbers) if number < 0 or number not in numbers[:place]]
    return tuple("cpu" if number < 0 else f"cuda:{number}" for number in unique) or ("auto",)


def check_devices(*names: str | None, option: str = "") -> None:
    """Raise click.UsageError for a device that is asked for and not there; ``option`` is what named it."""
    from atlaspatch_core.encoders.devices import device_fault

    for name in filter(None, names):
        if fault := device_fault(name):
            raise click.UsageError(f"{option}: {fault}" if option else fault)


def tell_absent_devices(runtime: "Runtime") -> None:
    """Warn of devices that a project names and this machine lacks: for commands that compute on none."""
    from atlaspatch_core.encoders.devices import device_fault

    for fault in filter(None, map(device_fault, runtime.devices)):
        notice(f"WARNING: runs would fail on this machine: {fault}")


def tell_precision(context: click.Context, devices: Sequence[str]) -> None:
    """Say that the CPU computes in float32 where float16 was typed; a default is nobody's wish."""
    from atlaspatch_core.encoders.devices import present_device

    typed = context.get_parameter_source("feature_precision") is ParameterSource.COMMANDLINE
    if typed and context.params["feature_precision"] == "float16":
        devices = [(present_device() or "cpu") if name == "auto" else name for name in devices]
        if "cpu" in devices:
            notice("WARNING: float16 is not computed on a CPU, which takes float32")


def by_workers(
    devices: Sequence[str],
    task: "WorkerTask",
    sources: Iterable["SlideSource"],
    on_patches: Callable[[str, int, int], None],
    release: Callable[[str], None] = lambda _: None,
) -> Generator[Outcome]:
    """Yield what becomes of every slide from one process for each device; ``release`` hears of slides that are read."""
    from atlaspatch_core.pipeline.workers.pool import process_on

    def on(device: str) -> "WorkerTask":
        runtime = task.project.runtime.model_copy(update={"device": device})
        return replace(task, project=task.project.model_copy(update={"runtime": runtime}))

    task = replace(task, log_level=getLogger("atlaspatch_core").level)
    yield from process_on([on(device) for device in devices], sources, release=release, on_patches=on_patches)
