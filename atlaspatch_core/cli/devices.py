"""On which devices a command computes, and one worker process for each where there are several."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import option
from atlaspatch_core.cli.logs import notice
from atlaspatch_core.cli.types import Gpus

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Runtime

GPUS = option(
    "--gpus",
    type=Gpus(),
    multiple=True,
    callback=lambda _context, _option, values: tuple(chain(*values)),
    help="GPUs, such as 0,1: one worker process for each; -1 is a worker on the CPU and may be repeated. Workers take "
    "their slides from one queue.",
)


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
