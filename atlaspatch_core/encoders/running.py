"""Networks as they run: pooled, and in half precision. Imports torch; import it inside functions."""

import torch
from torch import Tensor

from atlaspatch_core.encoders.declaration import Pooling, Precision


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
