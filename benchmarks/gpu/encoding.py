"""The pipeline over its bare model, with what it takes: patches a second, slides an hour, memory, utilisation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import mean, median

import torch

from atlaspatch_core.encoders.model_cache import MODELS
from benchmarks.gpu.bare import Bare, load_bare
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


def batch_lines(setting: Setting, network: Network, precision: str, patches: int) -> Iterator[Line]:
    """Yield what other batch sizes than the best one lose, for the bare model, and what ``auto`` loses where it is."""
    rates = rates_by_batch(setting, network, precision)
    best = max(rates, key=lambda size: rates[size])
    detail = {"best": best, "patches_per_second": {size: round(rate, 1) for size, rate in rates.items()}}
    for size in (32, setting.batch_size):
        if size in rates:
            name = f"batch_{size}_over_best_{network.name}_{precision}"
            yield Measure(name, rates[size] / rates[best], "", detail=detail)
    yield auto_line(setting, network, precision, best, patches)


def rates_by_batch(setting: Setting, network: Network, precision: str) -> dict[int, float]:
    """Return batch size to patches a second of the bare model, as far as memory goes."""
    sizes = (8, 16, 32, 64, 128, 256, 512) if setting.on_gpu else (4, 8)
    bare, rates = load_bare(network, setting.device, precision, max(sizes)), {}
    for size in sizes:
        try:
            part = Bare(bare.loaded, bare.pixels[:size].contiguous(memory_format=torch.channels_last))
            rates[size] = part.rate(4 * max(sizes), setting.rounds)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    return rates


def auto_line(setting: Setting, network: Network, precision: str, best: int, patches: int) -> Line:
    """Return how the batch size that the product finds compares with the best fixed one, both in the pipeline."""
    name = f"batch_auto_over_best_fixed_{network.name}_{precision}"
    if not knows_auto(setting):
        return Unmeasured(name, "the pipeline knows no batch size auto")
    ways = [partial(encode, project(setting, network, precision, size), setting.slides) for size in ("auto", best)]
    for way in ways:
        way()
    auto, fixed = in_turns(ways, setting.rounds)
    detail = {"best": best, "patches_per_second": [round(patches / median(taken), 1) for taken in (auto, fixed)]}
    return Measure(name, times_as_fast(auto, fixed), ">= 0.97", detail=detail)


def knows_auto(setting: Setting) -> bool:
    """Tell whether the pipeline finds a batch size by itself."""
    from atlaspatch_core.errors import InvalidProject

    try:
        project(setting, setting.networks[0], setting.precisions[0], "auto")
    except InvalidProject:
        return False
    return True
