"""Attention by several heads, each over a share of the width of its own (Jaume et al. 2024, arXiv:2405.11618).

Names of layers are those of the published TANGLE checkpoints.
"""

import torch
from torch import Tensor, nn

from atlaspatch_core.encoders.slide.networks.attention import Attention


class TanglePooling(nn.Module):
    """Patches through three layers to ``heads`` times the hidden width, the mean of each head's share, one layer."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        first, second, third = _layer(width, hidden), _layer(hidden, hidden), _layer(hidden, heads * hidden)
        self.pre_attn = nn.Sequential(*first, *second, *third)
        self.attn = nn.ModuleList([Attention(hidden, hidden) for _ in range(heads)])
        self.proj_multihead = nn.Linear(heads * hidden, hidden)

    def attention(self, features: Tensor) -> Tensor:
        """Return the weight of every patch for each head, (b, n, heads), from features (b, n, width)."""
        return self._attention(self._shares(features))

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, hidden) from features (b, n, width)."""
        shares = self._shares(features)
        pooled = torch.einsum("bnh,bndh->bdh", self._attention(shares).to(shares.dtype), shares)
        return self.proj_multihead(pooled.flatten(1))

    def _shares(self, features: Tensor) -> Tensor:
        """Return the embedded patches, (b, n, hidden, heads): numbers that lie side by side are of different heads."""
        return self.pre_attn(features).unflatten(-1, (-1, len(self.attn)))

    def _attention(self, shares: Tensor) -> Tensor:
        return torch.stack([head(shares[..., index]) for index, head in enumerate(self.attn)], dim=-1)


def _layer(width: int, hidden: int) -> list[nn.Module]:
    """Return a layer as it was trained: the last of its four modules, which did something in training alone, too."""
    return [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(0.1)]
