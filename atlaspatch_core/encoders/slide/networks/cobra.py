"""COBRA's network: Mamba-2 over patches, then attention, whose weights are taken to average the features as they came.

Names of layers are those of the published checkpoints (Lenz et al. 2025, arXiv:2411.13623).
"""

import torch
from torch import Tensor, nn

from atlaspatch_core.encoders.slide.networks.attention import Attention, weighted
from atlaspatch_core.encoders.slide.networks.mamba import Mamba2


class Embedding(nn.Module):
    """Features of one patch encoder to the width that all of them share."""

    def __init__(self, width: int, shared: int) -> None:
        super().__init__()
        last = nn.Linear(shared, shared)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, shared), nn.Identity(), nn.SiLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, n, shared) from features (b, n, width)."""
        return self.head(features)


class Sequence(nn.Module):
    """A layer, some of Mamba-2, and a layer."""

    def __init__(self, width: int, state: int, layers: int) -> None:
        super().__init__()
        self._fc1 = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.norm = nn.LayerNorm(width)  # of the checkpoint, and not used
        self.layers = nn.ModuleList([nn.Sequential(nn.LayerNorm(width), Mamba2(width, state)) for _ in range(layers)])
        self.classifier = nn.Linear(width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (b, n, width) from patches of that shape."""
        hidden = self._fc1(patches)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.classifier(hidden)


class CobraPooling(nn.Module):
    """The mean of features by attention, of patch encoders that are told apart by the width of their features."""

    def __init__(self, widths: tuple[int, ...], shared: int, state: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.ModuleDict({str(width): Embedding(width, shared) for width in widths})
        self.norm = nn.LayerNorm(shared)
        self.mamba_enc = Sequence(shared, state, layers)
        self.attn = nn.ModuleList([Attention(shared // heads, hidden) for _ in range(heads)])

    def attention(self, features: Tensor) -> Tensor:
        """Return the weight of every patch, (b, n), from features (b, n, width): the heads' mean score decides."""
        embedded = self.embed[str(features.shape[-1])](features)
        shares = self.norm(self.mamba_enc(embedded)).unflatten(-1, (-1, len(self.attn)))
        heads = [head for head in self.attn if isinstance(head, Attention)]
        scores = [head.scores(shares[..., index]) for index, head in enumerate(heads)]
        return torch.stack(scores, dim=-1).mean(dim=-1).softmax(dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, width) from features (b, n, width)."""
        return weighted(self.attention(features), features)
