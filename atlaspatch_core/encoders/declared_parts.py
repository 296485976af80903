"""The parts of an encoder's declaration: how its network is built, filled, and asked."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from atlaspatch_core.encoders.declared_names import named

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class Architecture(Protocol):
    """How a network is built, before its weights are loaded."""

    def build(self, weights: Path | None) -> "Module":
        """Return the network; ``weights`` is read only where code or configuration lie beside the weights."""
        ...

    def spec(self) -> dict[str, Any]:
        """Return what decides its layers, fit for JSON."""
        ...


class Weights(Protocol):
    """Where the numbers of a network come from."""

    def find(self, encoder: str) -> Path | None:
        """Return the local file or folder; None when the architecture brings its own numbers.

        Raises MissingWeights, which names ``encoder`` and the cure.
        """
        ...

    def spec(self, encoder: str) -> dict[str, Any]:
        """Return their identity (a sha256 or a pinned revision, never a local path), fit for JSON.

        Raises MissingWeights where a local file that is not there would have to be read.
        """
        ...


StateDict = dict[str, Any]
Adapt = Callable[[StateDict, StateDict], StateDict]
"""(names and tensors of a checkpoint, those of the network) to those that are loaded strictly."""
Pooling = Callable[[Any, "Tensor"], "Tensor"]
"""(network, float pixels (b, 3, h, w)) to features (b, dim)."""


@named("as_published")
def as_published(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the checkpoint as it is: its names are the network's names."""
    return checkpoint


@named("network_output")
def network_output(network: Any, pixels: "Tensor") -> "Tensor":
    """Return what the network returns."""
    return network(pixels)
