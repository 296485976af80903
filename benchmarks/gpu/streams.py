"""Networks that see the same patches, side by side on a GPU, and preprocessing as one kernel."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from atlaspatch_core.encoders.fused_preprocessing import Fused
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder, to_device
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.encoders.preprocessing import preprocess
from benchmarks.gpu.bare import seconds_of, synchronise
from benchmarks.gpu.lines import Line, Unmeasured
from benchmarks.gpu.networks import encoder_of
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Measure, in_turns, times_as_fast

BATCHES = 64
"""That a round encodes, or preprocesses."""


def stream_lines(setting: Setting, precision: str) -> Iterator[Line]:
    """Yield what a stream for each of the two smallest networks brings over one for both, by batches of two sizes."""
    if not setting.on_gpu:
        yield Unmeasured("own_streams_over_one", "a CPU has no streams")
        return
    how: Any = precision
    load = partial(load_patch_encoder, device=setting.device, precision=how, compile="off")
    encoders = [load(encoder_of(network)) for network in setting.networks[:2]]
    for size in sorted({32, setting.batch_size}):
        yield own_streams_line(setting, encoders, pixels_of(setting, size))


def own_streams_line(setting: Setting, encoders: list[LoadedPatchEncoder], patches: NDArray[np.uint8]) -> Measure:
    """Return how many times as fast encoders with their own streams are; each way runs once untimed."""
    ways = [partial(encode_all, PatchEncoders(encoders, own_streams=own), patches) for own in (True, False)]
    for way in ways:
        way()
    own, one = in_turns(ways, setting.rounds)
    detail = {"networks": [loaded.encoder.name for loaded in encoders], "batch_size": len(patches)}
    return Measure(f"own_streams_over_one_{len(patches)}", times_as_fast(own, one), ">= 1", detail=detail)


def encode_all(encoders: PatchEncoders, patches: NDArray[np.uint8]) -> None:
    """Encode the same patches again and again, as the pipeline does."""
    for _ in encoders.encode_stream((number, patches) for number in range(BATCHES)):
        pass


def preprocessing_lines(setting: Setting) -> Iterator[Line]:
    """Yield how many times as fast fused preprocessing is, with what it takes to compile."""
    transform = encoder_of(setting.networks[0]).transform
    if not setting.on_gpu or transform is None:
        yield Unmeasured("preprocessing_fused_over_plain", "only on CUDA it is fused")
        return
    pixels = to_device(pixels_of(setting, setting.batch_size), torch.device(setting.device))
    with torch.inference_mode():
        function = Fused(transform, pixels)
        to_compile = seconds_of(partial(repeat, function, pixels, 1))
        ways = [partial(repeat, way, pixels, BATCHES) for way in (function, partial(preprocess, transform=transform))]
        for way in ways:
            way()
        fused, plain = in_turns(ways, setting.rounds)
    microseconds = [round(1e6 * min(taken) / BATCHES / len(pixels), 2) for taken in (fused, plain)]
    detail = {"microseconds_per_patch": microseconds, "seconds_to_compile": round(to_compile, 1)}
    yield Measure("preprocessing_fused_over_plain", times_as_fast(fused, plain), ">= 1", detail=detail)


def repeat(function: Any, pixels: torch.Tensor, times: int) -> None:
    """Call a function of pixels so many times, and wait for the device."""
    for _ in range(times):
        function(pixels)
    synchronise(pixels.device)


def pixels_of(setting: Setting, count: int) -> NDArray[np.uint8]:
    """Return patches (b, side, side, 3) of seeded noise."""
    side = setting.patch_size
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
