"""Networks built without numbers, where a checkpoint gives all of them: drawing a billion at random takes ten seconds.

Imports torch inside functions.
"""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Adapt, Architecture

if TYPE_CHECKING:
    from torch.nn import Module


def built_to_fill(architecture: Architecture, weights: Path, adapt: Adapt) -> "Module":
    """Return a network that ``load_strictly`` is to fill: on torch's device ``meta`` where that can be.

    That is for timm's networks all of whose tensors are in their state dict, and for checkpoints that we adapt: what a
    user's code makes of one may be made of the network's numbers, too.
    """
    import torch

    is_ours = (getattr(adapt, "__module__", None) or type(adapt).__module__).startswith("atlaspatch_core.")
    if not is_ours or not isinstance(architecture, TimmModel):
        return architecture.build(weights)
    try:
        with torch.device("meta"):
            network = architecture.build(weights)
    except (RuntimeError, NotImplementedError):  # a network that asks for numbers while it is built
        return architecture.build(weights)
    return network if _has_no_other_tensors(network) else architecture.build(weights)


def give_memory(network: "Module") -> None:
    """Give a network on ``meta`` memory of the CPU, whose contents are undefined until all of it is filled."""
    if any(parameter.is_meta for parameter in network.parameters()):
        network.to_empty(device="cpu")


def _has_no_other_tensors(network: "Module") -> bool:
    """Tell whether all tensors of a network are in its state dict: no buffers beside it, no plain attributes."""
    import torch

    named = chain(network.named_parameters(), network.named_buffers())
    attributes = chain.from_iterable(vars(layer).values() for layer in network.modules())
    return {name for name, _ in named} <= network.state_dict().keys() and not any(
        isinstance(value, torch.Tensor) for value in attributes
    )
