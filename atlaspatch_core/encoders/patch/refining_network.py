"""A vision transformer with the head of Mettle. Imports torch; imported when the network is built."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class RefiningHead(nn.Module):
    """Moves a class token by a mix of low-rank matrices and by a shift, both of which it computes of the token."""

    def __init__(self, dim: int, matrices: int, rank: int, hidden: int) -> None:
        super().__init__()
        self.P = nn.Parameter(torch.zeros(matrices, dim, rank))
        self.Q = nn.Parameter(torch.zeros(matrices, dim, rank))
        self.mix = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, matrices))
        self.shift = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (b, d) from such."""
        within = torch.einsum("bd,kdr->bkr", tokens, self.P) * self.mix(tokens)[:, :, None]
        return tokens + torch.einsum("bkr,kdr->bd", within, self.Q) + self.shift(tokens)


class RefinedTransformer(nn.Module):
    """All tokens of a vision transformer, of which the head refines the first, in float32 whatever the rest is in."""

    def __init__(self, backbone: nn.Module, head: RefiningHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        """Return tokens (b, n, d), float32, from (b, 3, h, w)."""
        tokens = self.backbone(pixels).float()
        with _in_float32(pixels.device.type):
            return torch.cat([self.head(tokens[:, 0])[:, None], tokens[:, 1:]], 1)


def _in_float32(device: str) -> AbstractContextManager[object]:
    """Return what keeps operations from being cast; on the device ``meta`` none is."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
