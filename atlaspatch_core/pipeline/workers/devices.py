"""One process of work, or one for each of several devices."""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

from atlaspatch_core.discovery.shard_slides import slide_bytes
from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.pipeline.processing import clash_outcomes, process
from atlaspatch_core.pipeline.schedule import largest_first, share_cores
from atlaspatch_core.pipeline.workers.pool import process_on
from atlaspatch_core.pipeline.workers.worker import WorkerTask
from atlaspatch_core.validity.outcome import Outcome
from atlaspatch_core.validity.recipe import Recipe

OnPatches = Callable[[str, int, int], None]
"""Hears of a slide how many of its patches are done, of how many."""


def devices_of(gpus: Sequence[int], gpu: int | None = None) -> tuple[str, ...]:
    """Return a device for every worker: GPUs once each, CPU workers as often as they are named; ``auto`` for none."""
    numbers = tuple(gpus) or (() if gpu is None else (gpu,))
    unique = [number for place, number in enumerate(numbers) if number < 0 or number not in numbers[:place]]
    return tuple("cpu" if number < 0 else f"cuda:{number}" for number in unique) or ("auto",)


def process_discovered(
    discovery: Discovery, recipe: Recipe, devices: Sequence[str], *, force: bool, on_patches: OnPatches
) -> Generator[Outcome]:
    """Yield what becomes of every slide; closing this ends the work, and waits until what is being written is whole.

    ``devices`` are as ``devices_of`` returns them; where there are several, each has a process and its share of the
    cores.
    """
    yield from clash_outcomes(discovery)
    if len(devices) == 1:
        yield from process(discovery.sources, recipe, force=force, on_patches=on_patches)
        return
    task = WorkerTask(recipe.project, tuple(stage.step for stage in recipe.stages), force=force)
    yield from by_workers(devices, task, by_size(discovery.sources), on_patches)


def by_size(sources: Sequence[SlideSource]) -> list[SlideSource]:
    """Return slides by the bytes of their files, the largest first, so that the last ones keep no worker for long."""
    return [sources[place] for place in largest_first([slide_bytes(source.path) for source in sources])]


def by_workers(
    devices: Sequence[str],
    task: WorkerTask,
    sources: Iterable[SlideSource],
    on_patches: OnPatches,
    release: Callable[[str], None] = lambda _: None,
) -> Generator[Outcome]:
    """Yield what becomes of every slide from one process for each device; ``release`` hears of slides that are read."""
    task = replace(task, log_level=logging.getLogger("atlaspatch_core").level)
    shares = share_cores(devices, usable_cores())
    tasks = [on_device(task, device, cores) for device, cores in zip(devices, shares, strict=True)]
    yield from process_on(tasks, sources, release=release, on_patches=on_patches)


def on_device(task: WorkerTask, device: str, cores: int) -> WorkerTask:
    """Return the task as the worker on a device does it: with so many threads that compute, and that read.

    Fewer compute, and another number reads, where the project says so.
    """
    runtime = task.project.runtime
    settings = {
        "device": device,
        "threads": min(cores, runtime.threads or cores),
        "read_workers": runtime.read_workers or cores,
    }
    runtime = runtime.model_copy(update=settings)
    return replace(task, project=task.project.model_copy(update={"runtime": runtime}))
