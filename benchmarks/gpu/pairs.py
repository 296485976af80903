"""Two devices over one: slides a second once the workers run, so that starting them counts for neither side."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from shutil import copytree
from statistics import median

import torch

import atlaspatch_core as ap
from atlaspatch_core.encoders.model_cache import MODELS
from atlaspatch_core.validity.outcome import Status
from benchmarks.gpu.bare import seconds_of
from benchmarks.gpu.lines import Line, Unmeasured
from benchmarks.gpu.networks import PLUGIN, Network, encoder_of
from benchmarks.gpu.setting import MAGNIFICATION, Setting
from benchmarks.measuring import Measure

RUNS = count()


def pair_lines(setting: Setting, network: Network, precision: str) -> Iterator[Line]:
    """Yield two devices over one, where there are two."""
    name = f"two_devices_over_one_{network.name}_{precision}"
    if not setting.on_gpu or torch.cuda.device_count() < 2:
        yield Unmeasured(name, f"this machine has {torch.cuda.device_count() if setting.on_gpu else 0} GPUs, not two")
        return
    MODELS.release_idle()
    yield two_over_one(name, setting, network, precision, (0, 1))


def two_over_one(name: str, setting: Setting, network: Network, precision: str, gpus: tuple[int, int]) -> Line:
    """Return how many times as many slides a second two workers encode as the first of them alone.

    Seconds are those that the second half of the slides takes longer, so that starting the workers is left out.
    """
    longer = [seconds_of_half(setting, network, precision, workers) for workers in (gpus[:1], gpus)]
    if min(longer) <= 0:
        return Unmeasured(name, "the slides are too small to tell; give --size, or more --slides")
    one, two = longer
    half = len(setting.slides) - len(setting.slides) // 2
    detail = {"slides_per_hour": [round(3600 * half / seconds, 1) for seconds in longer]}
    return Measure(name, one / two, ">= 1.9", detail=detail | {"slides": len(setting.slides)})


def seconds_of_half(setting: Setting, network: Network, precision: str, gpus: Sequence[int]) -> float:
    """Return how much longer all slides take than half of them, s, the median of rounds."""
    few, run = setting.slides[: len(setting.slides) // 2], partial(seconds_on, setting, network, precision, gpus)
    return median(run(setting.slides) - run(few) for _ in range(setting.rounds))


def seconds_on(
    setting: Setting, network: Network, precision: str, gpus: Sequence[int], slides: Sequence[Path]
) -> float:
    """Return how long the workers of some GPUs take for slides whose masks and coords lie there, s."""
    output = setting.folder / f"pair{next(RUNS)}"
    copytree(setting.output, output)
    names, where = [encoder_of(network).name], {"target_mag": MAGNIFICATION, "plugins": [PLUGIN], "gpus": gpus}
    how = {"precision": precision, "feature_batch_size": setting.batch_size}

    def run() -> None:
        outcomes = ap.process(slides, output, patch_size=setting.patch_size, patch_encoders=names, **where, **how)
        computed = [outcome.step.kind for outcome in outcomes if outcome.status is Status.COMPUTED]
        if computed != ["patch_features"] * len(slides):
            raise RuntimeError(f"features alone were to be computed: {[outcome.why for outcome in outcomes]}")

    return seconds_of(run)
