"""Networks as they run: pooled, in half precision, or frozen for a CPU. Imports torch; import it inside functions."""

import logging
import warnings

import torch
from torch import Tensor

from atlaspatch_core.encoders.declaration import Pooling, Precision

log = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-4
"""Largest absolute difference between frozen and eager features that is let pass."""
FEW_CONVOLUTIONS = 4
"""Up to so many are the stem of a transformer, which freezing does not speed up."""
PATCHES_PER_THREAD = 2
"""At a time on a CPU, so that the activations of a convolutional network stay in the caches."""


class Pooled(torch.nn.Module):
    """Input (b, 3, h, w) to features (b, dim), in one precision."""

    def __init__(self, network: torch.nn.Module, pooling: Pooling, precision: Precision, *, autocast: bool) -> None:
        super().__init__()
        self.dtype: torch.dtype = getattr(torch, precision)
        self.autocast = autocast and self.dtype != torch.float32
        self.network = network if self.autocast else network.to(self.dtype)
        self.pooling = pooling

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features, in the precision that the network gives."""
        if self.autocast:
            with torch.autocast(pixels.device.type, self.dtype):
                return self.pooling(self.network, pixels)
        return self.pooling(self.network, pixels.to(self.dtype) if pixels.is_floating_point() else pixels)


def frozen(pooled: Pooled, side: int) -> tuple[torch.nn.Module, int | None]:
    """Return a convolutional network on the CPU traced and frozen, so that batch norms fold into convolutions, and the
    number of patches it always takes.

    Returns the network as it is, and None, where freezing gains nothing, fails, or changes features by more than 1e-4.
    """
    if sum(isinstance(layer, torch.nn.Conv2d) for layer in pooled.modules()) <= FEW_CONVOLUTIONS:
        return pooled, None
    chunk = PATCHES_PER_THREAD * max(torch.get_num_threads(), 2)
    probe = torch.rand(chunk, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    probe = probe.contiguous(memory_format=torch.channels_last)
    pooled.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    try:
        candidate = _traced(pooled, probe)
        difference = float((candidate(probe) - pooled(probe)).abs().max())
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        log.info("cannot be traced, stays eager: %s", error)
        return pooled, None
    if not difference <= MAX_DIFFERENCE:
        log.info("features differ by %g when frozen, stays eager", difference)
        return pooled, None
    return candidate, chunk


def _traced(network: torch.nn.Module, probe: Tensor) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, and they are; torch.jit is said to be old
        return torch.jit.freeze(torch.jit.trace(network, probe, check_trace=False))
