"""Networks that segment: what they are, and the loaded ones of a run. Declaring one imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Adapt,
    Architecture,
    Transform,
    Weights,
    as_published,
)
from atlaspatch_core.encoders.model_cache import MODELS, ModelKey
from atlaspatch_core.encoders.weights import local_weights
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import canonical_json

if TYPE_CHECKING:
    from torch import Tensor, device
    from torch.nn import Module

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""
Scores = Callable[["Tensor"], "Tensor"]
"""What a network returns, (b, classes, h, w), to one number per pixel, (b, h, w)."""

IMAGENET = Transform(resize=None, crop=None, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def untouched(pixels: Pixels) -> Pixels:
    """Return the pixels."""
    return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that gives every pixel of a tile a number per class."""

    name: str
    """Its key under ``[weights]``, and in messages."""
    architecture: Architecture
    source: Weights
    forward: Callable[[Any, "Tensor"], "Tensor"]
    """(network, normalised pixels (b, 3, side, side)) to probabilities or logits (b, classes, side, side)."""
    adapt: Adapt = as_published
    mpp: float
    """µm per px that it was trained at."""
    side: int = 512
    """Side of a tile, px."""
    overlap: int = 128
    """Least overlap of neighbouring tiles, px."""
    prepare: Callable[[Pixels], Pixels] = untouched
    """What is done to the pixels of a tile before they are normalised."""
    license: str
    """Licence of the weights, SPDX, or a clause where it has none."""
    gated: bool = False
    """Whether the weights are given out on request only."""
    extra: str | None = None
    """Optional dependency group of this package that the architecture needs."""
    homepage: str = ""

    def with_local_weights(self, weights: Mapping[str, Path]) -> "Network":
        """Return the network with the local file that stands in for its source, where ``local_weights`` finds one."""
        local = local_weights(self.name, (), weights)
        return self if local is None else replace(self, source=local)

    def spec(self) -> dict[str, Any]:
        """Return what decides its numbers, fit for JSON. Raises MissingWeights when the weights are not there."""
        return {
            "architecture": self.architecture.spec(),
            "weights": self.source.spec(self.name),
            "mpp": self.mpp,
            "side": self.side,
            "overlap": self.overlap,
        }

    def load(self) -> "Module":
        """Return it with all its weights, on the CPU, fit for inference. Raises what ``load_network`` raises."""
        from atlaspatch_core.encoders.loading import load_network

        return load_network(self.name, self.architecture, self.source, self.adapt)


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network with its weights on a device, in float32."""

    declaration: Network
    module: "Module"
    device: "device"
    batch_size: int
    """Tiles that it takes at once."""

    def scores(self, tiles: list[Pixels], scores: Scores) -> NDArray[np.float32]:
        """Return one number per pixel, shape (tiles, side, side), of equally large tiles."""
        import torch

        from atlaspatch_core.encoders.preprocessing import normalise

        pixels = np.stack([self.declaration.prepare(tile) for tile in tiles])
        with torch.inference_mode():
            uint8 = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device)
            outputs = scores(self.declaration.forward(self.module, normalise(uint8, IMAGENET)))
        return outputs.float().cpu().numpy()


@dataclass(slots=True)
class Networks:
    """The networks of one run: each is found when it is first needed, and fails once.

    Loaded ones stay in the process, from one run to the next.
    """

    weights: Mapping[str, Path] = field(default_factory=dict)
    """Name of a network to the local file that takes the place of its declared source."""
    device: str = "cpu"
    batch_size: int = 1
    """Tiles that a network takes at once."""
    _loaded: dict[str, LoadedNetwork | AtlasPatchError] = field(default_factory=dict)

    def get(self, network: Network) -> LoadedNetwork:
        """Return a network, loaded.

        Raises MissingWeights; WrongWeights, which names the tensors that do not fit; MissingExtra; InvalidProject for a
        device that is not known.
        """
        if network.name not in self._loaded:
            self._loaded[network.name] = self._load(network.with_local_weights(self.weights))
        result = self._loaded[network.name]
        if isinstance(result, AtlasPatchError):
            raise result
        return result

    def _load(self, network: Network) -> LoadedNetwork | AtlasPatchError:
        from atlaspatch_core.encoders.devices import resolve_device

        try:
            device = resolve_device(self.device)
            key = ModelKey(canonical_json(network.spec()), str(device))
            module = MODELS.get(key, device, lambda: network.load().to(device))
        except AtlasPatchError as error:
            return error
        return LoadedNetwork(network, module, device, self.batch_size)
