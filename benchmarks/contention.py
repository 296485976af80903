"""Networks on a CPU whose cores others want, too: their forms in turns, alone and beside busy processes."""

import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.inference import set_threads
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from benchmarks.encoders import SIDE, network
from benchmarks.looking import cold_encode_slide
from benchmarks.measuring import Measure, in_turns, times_as_fast

THREADS = 2
PATCHES = 32
SHARED_BATCH = 4
"""Patches at a time of the form that is compared with: traced, frozen, each layer by all threads."""
BUSY = (0, 1, 2)
"""Processes beside it that do nothing but count."""


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    counting = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in counting:
            process.kill()
            process.wait()


def forms(encoder: PatchEncoder) -> dict[str, Callable[[], object]]:
    """Return ways to encode the same tensors: the pipeline's, its makers', and frozen by all threads together."""
    quick, plain = load_patch_encoder(encoder).forward, load_patch_encoder(encoder, compile="off").forward
    pixels = torch.rand(PATCHES, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    parts = pixels.split(SHARED_BATCH)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        shared = torch.jit.freeze(torch.jit.trace(plain, parts[0], check_trace=False))
    ways = {"micro-batches": [quick], "eager": [plain], "frozen, threads shared": [shared] * len(parts)}

    def run(name: str) -> None:
        with torch.inference_mode():
            for form, part in zip(ways[name], parts if len(ways[name]) > 1 else [pixels], strict=True):
                form(part)

    for name in ways:
        run(name)
    return {name: lambda name=name: run(name) for name in ways}


def network_rates(encoder: PatchEncoder, processes: int, rounds: int) -> Iterator[Measure]:
    """Yield how many times as fast the pipeline's form is as the others, on tensors in memory."""
    ways = forms(encoder)
    with busy(processes):
        seconds = dict(zip(ways, in_turns([*ways.values()], rounds), strict=True))
    detail = {name: round(PATCHES / median(taken), 1) for name, taken in seconds.items()} | {"busy": processes}
    for other in ("eager", "frozen, threads shared"):
        name = f"{encoder.name}_micro_batches_over_{other.replace(', ', '_').replace(' ', '_')}"
        yield Measure(name, times_as_fast(seconds["micro-batches"], seconds[other]), ">= 1", detail=detail)


def cold_starts(folder: Path, processes: int, rounds: int) -> Iterator[Measure]:
    """Yield how many times as fast a cold ``encode-slide`` of the bundled slide is as with ``--compile off``.

    By the clock, and by the seconds of the cores, which other programs lengthen less.
    """
    core_seconds: dict[str, list[float]] = {"auto": [], "off": []}

    def encode(word: str) -> None:
        before = seconds_of_children()
        cold_encode_slide(folder / word, "--compile", word)
        core_seconds[word].append(seconds_of_children() - before)

    with busy(processes):
        quick, plain = in_turns([lambda: encode("auto"), lambda: encode("off")], rounds)
    for name, (fast, slow) in {"clock": (quick, plain), "cores": (core_seconds["auto"], core_seconds["off"])}.items():
        detail = {"auto": round(median(fast), 2), "off": round(median(slow), 2), "busy": processes, "unit": "s"}
        yield Measure(f"cold_encode_slide_auto_over_off_{name}", times_as_fast(fast, slow), ">= 1", detail=detail)


def seconds_of_children() -> float:
    """Return the seconds that cores computed for processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measures(folder: Path, rounds: int) -> Iterator[Measure]:
    """Yield every measure, alone and beside busy processes."""
    set_threads(THREADS)
    for processes in BUSY:
        yield from cold_starts(folder, processes, rounds)
        for encoder in (find_patch_encoder("efficientnet_lite0"), network("resnet50")):
            yield from network_rates(encoder, processes, rounds)
