"""Files of CONCH v1.5 with seeded numbers, under names of several families, and what they mean, worked out in NumPy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.patch.conch_vision import ConchVision

TRUNK = "vit_large_patch16_224"
WIDTH, DIM, HEADS = 64, 48, 8
OPTIONS = {"img_size": 448, "init_values": 1.0, "embed_dim": WIDTH, "depth": 2, "num_heads": 4}
NARROW = ConchVision(TimmModel(TRUNK, OPTIONS), DIM, HEADS)
"""As published, but narrow and of two layers."""
Array = NDArray[np.float64]
State = dict[str, torch.Tensor]

CONTRAST = {
    "trunk": "trunk.",
    "query": "attn_pool_contrast.query",
    "queries": "attn_pool_contrast.attn.to_q.weight",
    "keys_values": "attn_pool_contrast.attn.to_kv.weight",
    "output": "attn_pool_contrast.attn.to_out.weight",
    "query_norm": "attn_pool_contrast.ln_q.{weight,bias}",
    "token_norm": "attn_pool_contrast.ln_k.{weight,bias}",
    "norm": "ln_contrast.{weight,bias}",
}
CAPTION = {role: name.replace("contrast", "caption") for role, name in CONTRAST.items() if role != "trunk"}
OUTSIDE = {
    "trunk": "visual.trunk.",
    "query": "visual.img_queries",
    "queries": "visual.img_attn_pool.to_q.weight",
    "keys_values": "visual.img_attn_pool.to_kv.weight",
    "output": "visual.img_attn_pool.to_out.weight",
    "query_norm": "visual.img_attn_pool.norm.{gamma,beta}",
    "token_norm": "visual.img_attn_pool.context_norm.{gamma,beta}",
    "norm": "visual.img_attn_pool_norm.{gamma,beta}",
}
"""The query lies outside."""
BARE = {
    "trunk": "",
    "query": "head.pool.latent",
    "queries": "head.pool.q_proj.weight",
    "keys_values": "head.pool.kv_proj.weight",
    "output": "head.pool.o.weight",
    "query_norm": "head.pool.a.{weight,bias}",
    "token_norm": "head.pool.b.{weight,bias}",
    "norm": "head.norm.{weight,bias}",
}
"""The trunk has no prefix."""


def trunk_tensors(grid: int, options: Mapping[str, object] = OPTIONS, seed: int = 3) -> State:
    """Return tensors by timm's names; the blocks of a number of layers are each another."""
    sized = {**options, "img_size": 16 * grid}
    with torch.device("meta"):
        shapes = timm.create_model(TRUNK, num_classes=0, **sized).state_dict()
    return {name: _drawn(name, tuple(tensor.shape), seed) for name, tensor in shapes.items()}


def pooling_tensors(names: Mapping[str, str], inner: int = 40, queries: int = 1, seed: int = 4) -> State:
    """Return the tensors of one pooling and of the norm behind it, for ``DIM`` and ``WIDTH``."""
    shapes: dict[str, Sequence[int]] = {
        "query": (queries, DIM),
        "queries": (inner, DIM),
        "keys_values": (2 * inner, WIDTH),
        "output": (DIM, inner),
        "query_norm": (DIM,),
        "token_norm": (WIDTH,),
        "norm": (DIM,),
    }
    pairs = [(name, shapes[role]) for role in shapes for name in both(names[role])]
    return {name: _drawn(name, tuple(shape), seed) for name, shape in pairs}


def both(name: str) -> list[str]:
    """Return the names of a norm's tensors, or the only name."""
    head, _, tail = name.partition("{")
    return [head + word for word in tail.removesuffix("}").split(",")]


def conch_tensors(names: Mapping[str, str] = CONTRAST, grid: int = 28, inner: int = 40) -> State:
    """Return all tensors of a file with one pooling."""
    trunk = {names["trunk"] + name: tensor for name, tensor in trunk_tensors(grid).items()}
    return trunk | pooling_tensors(names, inner)


def save(tensors: State, path: Path) -> Path:
    torch.save(tensors, path)
    return path


def _drawn(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = np.random.default_rng([seed, *name.encode()])
    centre = 1.0 if len(shape) == 1 and name.endswith(("weight", "gamma")) else 0.0
    return torch.from_numpy(generator.normal(centre, 0.2, shape).astype(np.float32))


# ---- what they mean --------------------------------------------------------------------------------------------------


def expected_features(tensors: State, names: Mapping[str, str], pixels: torch.Tensor) -> Array:
    """Return features (b, DIM) from the network's input: timm's trunk, the rest in NumPy."""
    prefix = names["trunk"]
    network: Any = timm.create_model(TRUNK, num_classes=0, **OPTIONS).eval()
    of_trunk = {name: tensors[prefix + name] for name in network.state_dict()}
    positions = expected_positions(of_trunk["pos_embed"].double().numpy())
    network.load_state_dict({**of_trunk, "pos_embed": torch.from_numpy(positions).float()})
    with torch.inference_mode():
        tokens = network.forward_features(pixels).double().numpy()
    return np.stack([_pooled(tensors, names, one) for one in tokens])


def expected_positions(positions: Array) -> Array:
    """Return (1, 785, width): bilinear to 14 tokens a side where there are others, then bicubic by 28.1 / 14."""
    side = round((positions.shape[1] - 1) ** 0.5)
    grid = positions[0, 1:].reshape(side, side, -1)
    if side != 14:
        grid = _resampled(grid, 14, side / 14, _triangle)
    grid = _resampled(grid, 28, 14 / 28.1, _cubic)
    return np.concatenate([positions[:, :1], grid.reshape(1, 784, -1)], axis=1)


def _resampled(grid: Array, side: int, step: float, kernel) -> Array:
    """Sample a grid (n, n, d) at the centres of ``side`` cells of ``step`` tokens; outside, its edge goes on."""
    matrix = np.zeros((side, len(grid)))
    for row in range(side):
        place = (row + 0.5) * step - 0.5
        if kernel is _triangle:
            place = max(place, 0)
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[row, min(max(tap, 0), len(grid) - 1)] += kernel(abs(place - tap))
    return np.einsum("ia,jb,abd->ijd", matrix, matrix, grid)


def _triangle(distance: float) -> float:
    return max(1 - distance, 0)


def _cubic(distance: float, a: float = -0.75) -> float:
    """Return the weight of cubic convolution (Keys 1981)."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * (distance**3 - 5 * distance**2 + 8 * distance - 4) if distance < 2 else 0


def _pooled(tensors: State, names: Mapping[str, str], tokens: Array) -> Array:
    """Return the features (DIM,) of tokens (n, WIDTH), head by head."""
    own = {name: tensor.double().numpy() for name, tensor in tensors.items()}

    def norm(role: str, vectors: Array) -> Array:
        weight, bias = both(names[role])
        centred = vectors - vectors.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * own[weight] + own[bias]

    query = own[names["queries"]] @ norm("query_norm", own[names["query"]].reshape(DIM))
    keys, values = np.split(norm("token_norm", tokens) @ own[names["keys_values"]].T, 2, axis=1)
    each = len(query) // HEADS
    heads = []
    for part in (slice(each * head, each * (head + 1)) for head in range(HEADS)):
        logits = keys[:, part] @ query[part] / np.sqrt(each)
        shares = np.exp(logits - logits.max())
        heads.append(shares / shares.sum() @ values[:, part])
    return norm("norm", own[names["output"]] @ np.concatenate(heads))
