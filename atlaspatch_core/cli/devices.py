"""On which devices a command computes, and one worker process for each where there are several."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from logging import getLogger
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import option
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.validity.outcome import Outcome

if TYPE_CHECKING:
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
    """Return a device for every worker: GPUs once each, CPU workers as often as they are named.

    Without CUDA it is one CPU worker for any number of GPUs. Raises click.UsageError for a GPU that is not there.
    """
    numbers = tuple(gpus) or (() if gpu is None else (gpu,))
    if not numbers:
        return ("cuda",)
    if max(numbers) >= 0:
        from torch import cuda

        if not cuda.is_available():
            click.echo("WARNING: CUDA is not available on this machine; one worker computes on the CPU", err=True)
            return ("cpu",)
        if max(numbers) >= cuda.device_count():
            raise click.UsageError(f"--gpus: GPU {max(numbers)} is not there; this machine has {cuda.device_count()}")
    unique = [number for place, number in enumerate(numbers) if number < 0 or number not in numbers[:place]]
    return tuple("cpu" if number < 0 else f"cuda:{number}" for number in unique)


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
