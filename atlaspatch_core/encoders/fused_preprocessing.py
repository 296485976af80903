"""Preprocessing whose kernels torch's inductor fuses, where the patches to come pay for that. Imports torch."""

from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from atlaspatch_core.encoders.autotuning import AutotunedNetwork, Optimization, key_on
from atlaspatch_core.encoders.declaration import Transform
from atlaspatch_core.encoders.preprocessing import device_function, preprocess
from atlaspatch_core.encoders.speedups import Speedup

FUSED = Speedup(seconds=20.0, times_as_fast=3.0)
"""A guess: without it each tap of a filter is three kernels, and each reads and writes all patches."""
ROUNDING = 2.0**-22
"""By which input may differ, of the largest one: a product fused with a sum is rounded once; pixels stay the same."""


def optimized_preprocessing(transform: Transform | None, device: torch.device) -> AutotunedNetwork | None:
    """Return what ``preprocess`` is for a transform on CUDA, fused as soon as that pays.

    None elsewhere: on a CPU Pillow resizes, by a fifth of the time of the sums that could be fused.
    """
    if device.type != "cuda" or transform is None or not transform.antialias:
        return None
    return fused_preprocessing(transform, device)


def fused_preprocessing(transform: Transform, device: torch.device) -> AutotunedNetwork:
    """Return preprocessing on any device that is fused as soon as that pays."""
    fusing = Optimization("fused", partial(Fused, transform), FUSED, ROUNDING)
    key = key_on(device, fusing.name, asdict(transform))
    return AutotunedNetwork(partial(preprocess, transform=transform), fusing, key)


class Fused:
    """Preprocessing of patches of one size as one compiled function; patches of others are preprocessed as usual."""

    def __init__(self, transform: Transform, pixels: Tensor) -> None:
        self.transform, self.size = transform, pixels.shape[2:]
        function = device_function(transform, *self.size, pixels.device)
        self.function = torch.compile(function, fullgraph=True, dynamic=None)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return input of a network (b, 3, h, w) from uint8 pixels (b, 3, h, w)."""
        return self.function(pixels) if pixels.shape[2:] == self.size else preprocess(pixels, self.transform)
