"""The network of CONCH v1.5. Imports torch; imported when it is loaded.

Attentional pooling is that of CoCa (Yu et al. 2022, https://arxiv.org/abs/2205.01917).
"""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from atlaspatch_core.encoders.patch.conch_tensors import UnclearTensors

OVERSIZE = 0.1
"""Tokens by which DINO (https://arxiv.org/abs/2104.14294) makes the larger grid too large, against rounding down."""


class AttentionalPooling(nn.Module):
    """One learned query that attends to tokens."""

    def __init__(self, width: int, inner: int, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.zeros(1, dim))
        self.query_norm = nn.LayerNorm(dim)
        self.token_norm = nn.LayerNorm(width)
        self.to_queries = nn.Linear(dim, inner, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * inner, bias=False)
        self.to_output = nn.Linear(inner, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (b, dim) from (b, n, width)."""
        queries = self.to_queries(self.query_norm(self.query)).expand(len(tokens), -1, -1)
        keys, values = self.to_keys_values(self.token_norm(tokens)).chunk(2, dim=-1)
        by_head = self._by_head
        attended = functional.scaled_dot_product_attention(by_head(queries), by_head(keys), by_head(values))
        return self.to_output(attended.transpose(1, 2).flatten(2))[:, 0]

    def _by_head(self, vectors: Tensor) -> Tensor:
        """Return (b, heads, n, inner / heads) from (b, n, inner)."""
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ConchNetwork(nn.Module):
    """A vision transformer of timm, pooling of all its tokens behind its last norm, and a norm of what is pooled."""

    def __init__(self, trunk: nn.Module, width: int, inner: int, dim: int, heads: int) -> None:
        super().__init__()
        self.trunk: Any = trunk
        self.pooling = AttentionalPooling(width, inner, dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (b, dim) from (b, 3, h, w)."""
        return self.norm(self.pooling(self.trunk.forward_features(pixels)))


def resample_positions(positions: Tensor, built: int, fed: int) -> Tensor:
    """Return position embeddings (1, 1 + fed², width) from (1, 1 + n², width), over a grid of ``built`` tokens a side.

    That of the class token, the first, stays. Raises UnclearTensors where there is no square grid beside it.
    """
    side = isqrt(max(positions[..., 0].numel() - 1, 0))
    if positions.ndim != 3 or positions.shape[:2] != (1, side * side + 1) or side == 0:
        raise UnclearTensors(f"position embeddings of shape {tuple(positions.shape)} are no class token and a square")
    grid = positions[:, 1:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if side != built:
        grid = functional.interpolate(grid, (built, built), mode="bilinear", align_corners=False)
    if built != fed:
        factor = (fed + OVERSIZE) / built
        grid = functional.interpolate(grid, scale_factor=(factor, factor), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1)
