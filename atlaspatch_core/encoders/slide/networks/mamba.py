"""Mamba-2: a recurrence over patches, computed in pieces, as products of matrices (Dao and Gu 2024, arXiv:2405.21060).

Names of layers are those of the package ``mamba_ssm``, whose own code needs CUDA.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

PIECE = 256
"""Patches that are computed at a time."""


class GatedNorm(nn.Module):
    """Values times their gate, divided by the root of the mean of their squares."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, values: Tensor, gate: Tensor) -> Tensor:
        """Return (b, n, width) from values and gates of that shape."""
        return functional.rms_norm(values * functional.silu(gate), self.weight.shape, self.weight, eps=1e-5)


class Mamba2(nn.Module):
    """One layer: every patch sees itself and those before it."""

    def __init__(self, width: int, state: int, head_width: int = 64) -> None:
        super().__init__()
        self.inner, self.state, self.head_width = 2 * width, state, head_width
        heads, convolved = self.inner // head_width, self.inner + 2 * state
        self.in_proj = nn.Linear(width, self.inner + convolved + heads, bias=False)
        self.conv1d = nn.Conv1d(convolved, convolved, 4, groups=convolved, padding=3)
        self.dt_bias = nn.Parameter(torch.zeros(heads))
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = GatedNorm(self.inner)
        self.out_proj = nn.Linear(self.inner, width, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (b, n, width) from patches of that shape, in their order."""
        parts = self.in_proj(patches).split([self.inner, self.inner + 2 * self.state, len(self.D)], dim=-1)
        gate, convolved, steps = parts
        convolved = functional.silu(self.conv1d(convolved.mT)[..., : patches.shape[1]].mT)
        values, keys, queries = convolved.split([self.inner, self.state, self.state], dim=-1)
        values = values.unflatten(-1, (-1, self.head_width))
        steps = functional.softplus(steps + self.dt_bias)
        seen = scan(values * steps.unsqueeze(-1), -self.A_log.exp() * steps, keys, queries)
        return self.out_proj(self.norm((seen + values * self.D.unsqueeze(-1)).flatten(-2), gate))


def scan(values: Tensor, decays: Tensor, keys: Tensor, queries: Tensor) -> Tensor:
    """Return what each patch reads of a state to which all up to it have been added, (b, n, heads, p).

    The state of a head is (p, s), 0 at first. At each patch it is multiplied by exp(decay), then key and value are
    added as a product; query times state is read.

    Args:
        values: Shape (b, n, heads, p).
        decays: Shape (b, n, heads), at most 0.
        keys: Shape (b, n, s), the same for all heads, as queries are.
        queries: Shape (b, n, s).
    """
    batch, _, heads, width = values.shape
    state, pieces = values.new_zeros(batch, heads, width, keys.shape[-1]), []
    for piece in zip(*(rows.split(PIECE, dim=1) for rows in (values, decays, keys, queries)), strict=True):
        seen, state = _scan_piece(state, *piece)
        pieces.append(seen)
    return torch.cat(pieces, dim=1)


def _scan_piece(state: Tensor, values: Tensor, decays: Tensor, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the patches of a piece read, and the state after them."""
    total = decays.cumsum(dim=1)
    before = (total.unsqueeze(2) - total.unsqueeze(1)).masked_fill(_later(total), -torch.inf).exp()
    seen = torch.einsum("bts,bus,btuh,buhp->bthp", queries, keys, before, values)
    seen = seen + torch.einsum("bts,bhps,bth->bthp", queries, state, total.exp())
    remaining = (total[:, -1:] - total).exp()
    added = torch.einsum("bus,buh,buhp->bhps", keys, remaining, values)
    return seen, state * total[:, -1].exp()[..., None, None] + added


def _later(total: Tensor) -> Tensor:
    """Return where the second of two patches comes after the first, (1, n, n, 1)."""
    count = total.shape[1]
    return torch.ones(count, count, dtype=torch.bool, device=total.device).triu(1)[None, :, :, None]
