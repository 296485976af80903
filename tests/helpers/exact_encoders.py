"""Encoders whose features are whole numbers of the pixels: the same bit for bit in any batch, on any device."""

from collections.abc import Callable

import numpy as np
import torch

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.weights import BuiltIn

UNIT = Transform(None, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SMALLER = Transform(5, 4, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BAD = 255
"""A patch whose first px is so red fails in ``Wary``."""


class Digest(torch.nn.Module):
    """Gives three sums of the pixels, each with other whole weights."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        whole = (pixels.flatten(1) * 255).round().to(torch.int32)
        place = torch.arange(whole.shape[1], dtype=torch.int32, device=whole.device)
        return torch.stack([(whole * ((place * k) % 7)).sum(1) for k in (1, 3, 5 + self.seed)], 1).float()


class Wary(Digest):
    """Gives NaN where a patch is bad."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = super().forward(pixels)
        features[pixels[:, 0, 0, 0] * 255 > BAD - 0.5] = float("nan")
        return features


class Faulty(Digest):
    """Raises where a patch is bad, as a bug of a user's code."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if bool((pixels[:, 0, 0, 0] * 255 > BAD - 0.5).any()):
            raise RuntimeError("a bad patch")
        return super().forward(pixels)


class Greedy(Digest):
    """Runs out of memory with more than so many patches."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 3 + self.seed:
            raise torch.OutOfMemoryError("no memory")
        return super().forward(pixels)


NETWORKS = (Digest, Wary, Faulty, Greedy)


def exact_encoder(
    network: Callable[[int], torch.nn.Module], seed: int = 0, transform: Transform = UNIT, device: str = "cpu"
) -> LoadedPatchEncoder:
    """Return an encoder of a network."""
    name = f"{getattr(network, '__name__', 'network').lower()}_{seed}"
    declared = PatchEncoder(
        name=name, architecture=Built(lambda: network(seed)), source=BuiltIn(), dim=3, transform=transform,
        license="Apache-2.0", precision="float32",
    )  # fmt: skip
    return load_patch_encoder(declared, device=device)


def patches(count: int, seed: int, side: int = 6) -> np.ndarray:
    """Return patches of noise, none of them bad."""
    return np.random.default_rng(seed).integers(0, BAD, (count, side, side, 3), dtype=np.uint8)


def bad(given: np.ndarray) -> np.ndarray:
    """Return the patches, one of them bad."""
    given[len(given) // 2, 0, 0] = BAD
    return given
