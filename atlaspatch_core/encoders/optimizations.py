"""What makes a network quicker: batch norms folded, micro-batches, frozen, captured, compiled. Imports torch."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from atlaspatch_core.encoders.autotuning import FAILURES, AutotunedNetwork, Optimization, close, key_on
from atlaspatch_core.encoders.declaration import PatchEncoder, Precision
from atlaspatch_core.encoders.folding import fold_batch_norms
from atlaspatch_core.encoders.micro_batches import MICRO_BATCH, MicroBatches
from atlaspatch_core.encoders.running import Pooled
from atlaspatch_core.encoders.speedups import Speedup

Network = Callable[[Tensor], Tensor]

TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "float16": 8 * 2**-10, "bfloat16": 8 * 2**-7}
"""By which features may differ from those of the network as it is, of the largest one or of 1: 8 steps in half."""
FEW_CONVOLUTIONS = 4
"""Up to so many are the stem of a transformer, which micro-batches do not speed up."""
WARM_UPS = 3
"""Runs before a network is captured, in which libraries choose their kernels and take their memory."""
OWN_CODE = ("torch", "timm", "torchvision", "atlaspatch_core")
"""Packages whose modules keep nothing from one run to the next, so that threads may run them side by side."""
FROZEN = Speedup(seconds=1.0, times_as_fast=1.05)
"""Guesses, as the two below, for a network and a machine on which nothing was measured yet."""
CAPTURED = Speedup(seconds=1.0, times_as_fast=1.1)
COMPILED = Speedup(seconds=90.0, times_as_fast=1.1)


def optimized_network(pooled: Pooled, encoder: PatchEncoder, device: torch.device, side: int | None) -> Network:
    """Return what runs a network, quicker where that pays, and gives its features within the precision's tolerance.

    ``side`` is that of every input, px; None where it depends on the patch: then the network is returned as it is.
    """
    precision: Precision = str(pooled.dtype).removeprefix("torch.")  # pyright: ignore[reportAssignmentType]
    if side is None:
        return pooled
    if device.type == "cuda":
        return _on_cuda(pooled, encoder, device, precision)
    if device.type == "cpu" and precision == "float32" and _convolutions(pooled) > FEW_CONVOLUTIONS:
        return _on_cpu(pooled, encoder, side)
    return pooled


def _on_cpu(pooled: Pooled, encoder: PatchEncoder, side: int) -> Network:
    """Return a convolutional network with batch norms folded, in micro-batches, frozen when that pays.

    Code that may keep something between runs is frozen at once, for what is frozen runs no Python; where it cannot be,
    it runs as it is.
    """
    probe = torch.rand(MICRO_BATCH, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    probe = probe.contiguous(memory_format=torch.channels_last)
    pooled.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if not _is_own_code(pooled):
        return _frozen_at_once(pooled, probe)
    fold_batch_norms(pooled, pooled, probe, TOLERANCES["float32"])
    freezing = Optimization("frozen", lambda _: MicroBatches(_frozen(pooled, probe)), FROZEN)
    return AutotunedNetwork(MicroBatches(pooled), freezing, _key(encoder, torch.device("cpu"), "float32", freezing))


def _frozen_at_once(pooled: Pooled, probe: Tensor) -> Network:
    try:
        frozen = _frozen(pooled, probe)
        same = close(frozen(probe), pooled(probe), TOLERANCES["float32"])
    except FAILURES:
        return pooled
    return MicroBatches(frozen) if same else pooled


def _on_cuda(pooled: Pooled, encoder: PatchEncoder, device: torch.device, precision: Precision) -> Network:
    """Return a network captured as a CUDA graph when that pays, or compiled where the run is long enough."""
    capture = Optimization("captured", lambda pixels: Captured(pooled, pixels), CAPTURED)
    captured = AutotunedNetwork(pooled, capture, _key(encoder, device, precision, capture))
    compiling = Optimization("compiled", lambda _: _compiled(pooled), COMPILED, TOLERANCES[precision])
    return AutotunedNetwork(captured, compiling, _key(encoder, device, precision, compiling))


class Captured:
    """A network as one CUDA graph: the same kernels in the same order, started all at once.

    A graph takes input of one shape. Others, such as the last batch of a run, go through the network as it is.
    """

    def __init__(self, network: Network, pixels: Tensor) -> None:
        self.network, self.pixels = network, pixels.clone()
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream(pixels.device)
        aside.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                network(self.pixels)
        torch.cuda.current_stream(pixels.device).wait_stream(aside)
        # A thread that prepares the next slides may ask the device for memory meanwhile.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.features = network(self.pixels)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the network; the features are a copy, for the next run overwrites its own."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            return self.network(pixels)
        self.pixels.copy_(pixels)
        self.graph.replay()
        return self.features.clone()


def _compiled(pooled: Pooled) -> Network:
    """Return the network compiled by torch's inductor, for batches of any number."""
    return torch.compile(pooled, dynamic=None)


def _frozen(network: torch.nn.Module, probe: Tensor) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, and they are; torch.jit is said to be old
        return torch.jit.freeze(torch.jit.trace(network, probe, check_trace=False))


def _convolutions(network: torch.nn.Module) -> int:
    return sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())


def _is_own_code(pooled: Pooled) -> bool:
    """Tell whether a network and its pooling are code that is known to keep nothing between runs."""
    homes = [type(layer).__module__ for layer in pooled.modules()]
    homes.append(getattr(pooled.pooling, "__module__", None) or type(pooled.pooling).__module__)
    hooked = any(layer._forward_hooks or layer._forward_pre_hooks for layer in pooled.modules())
    return not hooked and all(home.partition(".")[0] in OWN_CODE for home in homes)


def _key(encoder: PatchEncoder, device: torch.device, precision: Precision, optimization: Optimization) -> str:
    return key_on(device, optimization.name, encoder.spec(), precision)
