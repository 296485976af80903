"""A network alone, on tensors that lie in the device's memory: what the pipeline is held against."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch

from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from benchmarks.gpu.networks import SIDE, Network, encoder_of

WARM_UP = 3
"""Calls before any is timed: kernels are chosen and memory is taken in them."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A loaded network and the input that it is given again and again."""

    loaded: LoadedPatchEncoder
    pixels: torch.Tensor
    """Shape (batch, 3, 224, 224), channels last, in the network's precision, on its device."""

    def run(self, count: int) -> None:
        """Encode as many batches as ``count`` patches take, and wait for the device."""
        with torch.inference_mode():
            for _ in range(-(-count // len(self.pixels))):
                self.loaded.forward(self.pixels)
        synchronise(self.loaded.device)

    def rate(self, count: int, rounds: int) -> float:
        """Return patches a second, the median of rounds of at least ``count`` patches."""
        batches = -(-count // len(self.pixels))
        self.run(WARM_UP * len(self.pixels))
        return batches * len(self.pixels) / median(seconds_of(lambda: self.run(count)) for _ in range(rounds))


def load_bare(network: Network, device: str, precision: str, batch_size: int) -> Bare:
    """Load a network as it is, neither captured nor compiled, with a batch of input beside it."""
    how: Any = precision
    loaded = load_patch_encoder(encoder_of(network), device=device, precision=how, compile="off")
    return Bare(loaded, input_of(loaded, batch_size))


def input_of(loaded: LoadedPatchEncoder, batch_size: int) -> torch.Tensor:
    """Return seeded noise between -1 and 1 as a batch of input."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(batch_size, 3, SIDE, SIDE, generator=generator) * 2 - 1
    return pixels.to(loaded.device, getattr(torch, loaded.precision)).contiguous(memory_format=torch.channels_last)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes, s."""
    start = perf_counter()
    work()
    return perf_counter() - start
