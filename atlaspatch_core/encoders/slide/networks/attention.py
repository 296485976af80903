"""Attention over patches: which count, and how much (Ilse et al. 2018, arXiv:1802.04712).

Names of layers are those of the published FEATHER checkpoints.
"""

import torch
from torch import Tensor, nn

PART = 8192
"""Patches of a slide that go through a network's layers at a time."""


class Attention(nn.Module):
    """A score for every patch: tanh layer, times a sigmoid gate, to one number."""

    def __init__(self, width: int, hidden: int, *, gated: bool = True) -> None:
        super().__init__()
        self.attention_a = nn.Sequential(nn.Linear(width, hidden), nn.Tanh())
        self.attention_b = nn.Sequential(nn.Linear(width, hidden), nn.Sigmoid()) if gated else None
        self.attention_c = nn.Linear(hidden, 1)

    def scores(self, patches: Tensor) -> Tensor:
        """Return a score a patch, (b, n), the higher the more it counts, from patches (b, n, width)."""
        hidden = self.attention_a(patches)
        if self.attention_b is not None:
            hidden = hidden * self.attention_b(patches)
        return self.attention_c(hidden).squeeze(-1).float()

    def forward(self, patches: Tensor) -> Tensor:
        """Return weights (b, n) that sum to 1 over the patches, from patches (b, n, width)."""
        return torch.softmax(self.scores(patches), dim=-1)


class AttentionPooling(nn.Module):
    """Patches through one layer, then their mean by attention."""

    def __init__(
        self, width: int, embedded: int, hidden: int, *, gated: bool = True, pools_features: bool = False
    ) -> None:
        """``pools_features``: the mean is that of the features as they came, not of the embedded ones."""
        super().__init__()
        self.patch_embed = nn.Sequential(nn.Linear(width, embedded), nn.ReLU())
        self.global_attn = Attention(embedded, hidden, gated=gated)
        self.pools_features = pools_features

    def scores(self, features: Tensor) -> Tensor:
        """Return the score of every patch before they are made to sum to 1, (b, n), from features (b, n, width)."""
        parts = split_patches(features)
        return torch.cat([self.global_attn.scores(self.patch_embed(part)) for part in parts], dim=-1)

    def attention(self, features: Tensor) -> Tensor:
        """Return the weight of every patch, (b, n), from features (b, n, width)."""
        return torch.softmax(self.scores(features), dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, embedded), or (b, width) where features are pooled, from features (b, n, width)."""
        if self.pools_features:
            return weighted(self.attention(features), features)
        embedded = self.patch_embed(features)
        scores = torch.cat([self.global_attn.scores(part) for part in split_patches(embedded)], dim=-1)
        return weighted(torch.softmax(scores, dim=-1), embedded)


class AttentionBlock(nn.Module):
    """A layer before and one after attention by several heads; what the heads see is joined to the first width."""

    def __init__(self, width: int, hidden: int, heads: int, *, gated: bool) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.heads = nn.ModuleList([Attention(width, hidden, gated=gated) for _ in range(heads)])
        self.join = nn.Linear(heads * width, width) if heads > 1 else nn.Identity()
        self.after = nn.Sequential(nn.Linear(width, width), nn.GELU())

    def attention(self, features: Tensor) -> Tensor:
        """Return the weight of every patch for each head, (b, n, heads), from features (b, n, width)."""
        patches = self.before(features)
        return torch.stack([head(patches) for head in self.heads], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, width) from features (b, n, width)."""
        patches = self.before(features)
        seen = [weighted(head(patches), patches) for head in self.heads]
        return self.after(self.join(torch.cat(seen, dim=-1)))


def split_patches(patches: Tensor) -> list[Tensor]:
    """Return patches (b, n, width) in parts of ``PART``, the last one larger, so that what is made of them is small.

    No part is so small that it is computed by another kernel than the whole, which would change last bits.
    """
    count = max(1, patches.shape[1] // PART)
    return list(patches.tensor_split([PART * part for part in range(1, count)], dim=1))


def weighted(attention: Tensor, patches: Tensor) -> Tensor:
    """Return the mean of patches (b, n, width) by attention (b, n): (b, width)."""
    return torch.bmm(attention.to(patches.dtype).unsqueeze(1), patches).squeeze(1)
