"""One process of work, or one for each of several devices."""

import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

from atlaspatch_core.discovery.sources import Discovery, SlideSource
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.pipeline.processing import clash_outcomes, process
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
    share = max(1, usable_cores() // len(devices))
    runtime = recipe.project.runtime
    runtime = runtime.model_copy(update={"threads": share, "read_workers": min(share, runtime.readers)})
    project = recipe.project.model_copy(update={"runtime": runtime})
    task = WorkerTask(project, tuple(stage.step for stage in recipe.stages), force=force)
    yield from by_workers(devices, task, discovery.sources, on_patches)


def by_workers(
    devices: Sequence[str],
    task: WorkerTask,
    sources: Iterable[SlideSource],
    on_patches: OnPatches,
    release: Callable[[str], None] = lambda _: None,
) -> Generator[Outcome]:
    """Yield what becomes of every slide from one process for each device; ``release`` hears of slides that are read."""

    def on(device: str) -> WorkerTask:
        runtime = task.project.runtime.model_copy(update={"device": device})
        return replace(task, project=task.project.model_copy(update={"runtime": runtime}))

    task = replace(task, log_level=logging.getLogger("atlaspatch_core").level)
    yield from process_on([on(device) for device in devices], sources, release=release, on_patches=on_patches)
