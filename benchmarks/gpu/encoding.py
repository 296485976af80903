"""The pipeline over its bare model, with what it takes: patches a second, slides an hour, memory, utilisation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import mean, median

import torch

from atlaspatch_core.encoders.model_cache import MODELS
from benchmarks.gpu.bare import load_bare
from benchmarks.gpu.lines import Line, Unmeasured
from benchmarks.gpu.networks import Network
from benchmarks.gpu.setting import Setting, encode, project
from benchmarks.gpu.utilisation import EVERY, Utilisation, course, middle_of, percent_reader
from benchmarks.measuring import Measure, in_turns, times_as_fast
from benchmarks.memory import peak_kilobytes

GOALS = {"resnet50": ">= 0.85", "vit_s_16": ">= 0.85", "vit_l_16": ">= 0.95", "vit_g_14": ">= 0.95"}
SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Compared:
    """The pipeline and its bare model, by round."""

    name: str
    """Network and precision."""
    network: str
    patches: int
    slides: int
    pipeline: list[float]
    """Seconds."""
    first: list[float]
    """Seconds of the pipeline over the first slide alone, with all that begins a run."""
    alone: list[float]
    """Seconds."""
    memory: float
    """Most memory that the pipeline took, on the GPU or else of the process, MB."""
    utilisation: Utilisation

    @property
    def bare_rate(self) -> float:
        """Return patches a second of the bare model."""
        return self.patches / median(self.alone)

    @property
    def beyond_first(self) -> float | None:
        """Return the ratio of the slides after the first: what begins a run, once, does not count.

        None where a round took no longer for all slides than for the first: they are too small to tell.
        """
        rest = [whole - first for whole, first in zip(self.pipeline, self.first, strict=True)]
        if min(rest) <= 0:
            return None
        share = (self.slides - 1) / self.slides
        return round(median(alone * share / taken for alone, taken in zip(self.alone, rest, strict=True)), 3)


def compare(setting: Setting, network: Network, precision: str, patches: int) -> Compared:
    """Run the pipeline over all slides and the bare model on as many patches, in turns; each once before, untimed."""
    made = project(setting, network, precision, setting.batch_size)
    MODELS.release_idle()
    encode(made, setting.slides[:1])
    memory, utilisation = peak_of(setting, partial(encode, made, setting.slides))
    bare = load_bare(network, setting.device, precision, setting.batch_size)
    bare.run(setting.batch_size)
    over_all, over_first = (partial(encode, made, slides) for slides in (setting.slides, setting.slides[:1]))
    pipeline, first, alone = in_turns([over_all, over_first, partial(bare.run, patches)], setting.rounds)
    name = f"{network.name}_{bare.loaded.precision}"
    return Compared(name, network.name, patches, len(setting.slides), pipeline, first, alone, memory, utilisation)


def peak_of(setting: Setting, run: Callable[[], object]) -> tuple[float, Utilisation]:
    """Run something; return the most memory that it took, MB, and how busy the GPU was meanwhile."""
    if not setting.on_gpu:
        run()
        return peak_kilobytes() / 1024, Utilisation()
    index = torch.device(setting.device).index or 0
    utilisation = Utilisation(percent_reader(index))
    torch.cuda.reset_peak_memory_stats(index)
    with utilisation:
        run()
    return torch.cuda.max_memory_allocated(index) / 2**20, utilisation


def lines_of(compared: Compared, setting: Setting) -> Iterator[Line]:
    """Yield what is printed of a comparison."""
    seconds, name = median(compared.pipeline), compared.name
    rates = {
        "patches": compared.patches,
        "slides": len(setting.slides),
        "batch_size": setting.batch_size,
        "pipeline_patches_per_second": round(compared.patches / seconds, 1),
        "bare_patches_per_second": round(compared.bare_rate, 1),
        "ratio_beyond_first_slide": compared.beyond_first,
    }
    ratio = times_as_fast(compared.pipeline, compared.alone)
    yield Measure(f"pipeline_over_bare_{name}", ratio, GOALS.get(compared.network, ""), detail=rates)
    hourly = SECONDS_AN_HOUR * len(setting.slides) / seconds
    stated = {"slide": setting.slide, "patches_per_slide": compared.patches // len(setting.slides)}
    yield Measure(f"slides_per_hour_{name}", hourly, "", "slides_per_hour", stated)
    of = "tensors on the GPU" if setting.on_gpu else "the process since it began"
    yield Measure(f"memory_peak_{name}", compared.memory, "", "megabytes", {"of": of})
    yield utilisation_line(compared)


def utilisation_line(compared: Compared) -> Line:
    """Return how busy the GPU was across all slides, from its first busy sample to its last."""
    name, samples = f"utilisation_{compared.name}", compared.utilisation.samples
    busy = middle_of(samples)
    if not busy:
        return Unmeasured(name, compared.utilisation.why)
    detail = {"seconds_and_percent": course(samples), "every_seconds": EVERY, "least_percent": min(busy)}
    return Measure(name, mean(busy) / 100, ">= 0.95", "share", detail)
