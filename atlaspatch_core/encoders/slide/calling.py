"""What slide encoders with a network are given."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declared_names import named

if TYPE_CHECKING:
    from torch import Tensor


def as_batch(network: Any, features: NDArray[np.float32], coords: NDArray[np.int64]) -> "tuple[Tensor, Tensor]":
    """Return features (1, n, d), float32, and coords (1, n, 2), int64, level-0 px, on the network's device."""
    import torch

    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    rows = torch.from_numpy(np.require(features, np.float32, ["C", "W"]))
    corners = torch.from_numpy(np.require(coords, np.int64, ["C", "W"]))
    return rows.unsqueeze(0).to(device), corners.unsqueeze(0).to(device)


@named("pool")
def pool(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> "Tensor":
    """Return what a network makes of features (1, n, d) alone: shape (dim,)."""
    return network(as_batch(network, features, coords)[0])[0]


def pool_attention(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> "Tensor":
    """Return how much each patch counts in what ``pool`` returns: (n,), or (n, heads); a head sums to 1 over patches.

    The network has a method ``attention``, from features (1, n, d) to (1, n), or (1, n, heads).
    """
    weights = network.attention(as_batch(network, features, coords)[0])[0]
    return weights[:, 0] if weights.ndim == 2 and weights.shape[1] == 1 else weights
