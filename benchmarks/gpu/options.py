"""What options of speed bring: other batch sizes, one that is found, networks rewritten for their device."""

from collections.abc import Iterator
from functools import partial
from statistics import median

import torch

from atlaspatch_core.encoders.model_cache import MODELS
from benchmarks.gpu.bare import Bare, load_bare
from benchmarks.gpu.encoding import peak_of
from benchmarks.gpu.lines import Line
from benchmarks.gpu.networks import Network
from benchmarks.gpu.setting import Setting, encode, project
from benchmarks.measuring import Measure, in_turns, times_as_fast


def compile_lines(setting: Setting, network: Network, precision: str, patches: int) -> Iterator[Line]:
    """Yield what ``--compile auto`` brings the pipeline over ``off``, and its memory; each runs once untimed."""
    MODELS.release_idle()
    ways = [
        partial(encode, project(setting, network, precision, setting.batch_size, rewriting), setting.slides)
        for rewriting in ("auto", "off")
    ]
    memory = [peak_of(setting, way)[0] for way in ways]
    auto, off = in_turns(ways, setting.rounds)
    rates = [round(patches / median(taken), 1) for taken in (auto, off)]
    detail = {"patches_per_second": rates, "megabytes_with_auto": round(memory[0], 1)}
    yield Measure(f"compile_auto_over_off_{network.name}_{precision}", times_as_fast(auto, off), ">= 1", detail=detail)


def batch_lines(setting: Setting, network: Network, precision: str, patches: int) -> Iterator[Line]:
    """Yield what other batch sizes than the best one lose, for the bare model, and what ``auto`` loses."""
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
    ways = [partial(encode, project(setting, network, precision, size), setting.slides) for size in ("auto", best)]
    for way in ways:
        way()
    auto, fixed = in_turns(ways, setting.rounds)
    detail = {"best": best, "patches_per_second": [round(patches / median(taken), 1) for taken in (auto, fixed)]}
    return Measure(name, times_as_fast(auto, fixed), ">= 0.97", detail=detail)
