"""An ABMIL of known weights, written as a user trains one, and what numpy says of its attention."""

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.validity.recipe import Recipe, make_recipe

EMBEDDED, HIDDEN = 6, 5
PATCH_ENCODER = "timm-test_vit"
ABMIL = f"abmil-{PATCH_ENCODER}"
WIDTH = 64
"""Length of the features of that tiny network."""


def write_abmil(path: Path, width: int, *, heads: int = 0, seed: int = 3) -> Path:
    """Write a checkpoint and return its path: one layer and one gated head, or with ``heads`` those between two layers.

    Layers are small, so that patches of one slide count differently and none counts all.
    """
    chance = torch.Generator().manual_seed(seed)
    layers: list[tuple[int, int]] = [(width, EMBEDDED), (EMBEDDED, HIDDEN), (EMBEDDED, HIDDEN), (HIDDEN, 1)]
    if heads:
        head = [(width, HIDDEN), (width, HIDDEN), (HIDDEN, 1)]
        join = [(heads * width, width)] if heads > 1 else []
        layers = [(width, width), *head * heads, *join, (width, width)]
    state = {}
    for number, (into, out) in enumerate(layers):
        state[f"layer_{number}.weight"] = torch.randn((out, into), generator=chance) * (2 / into**0.5)
        state[f"layer_{number}.bias"] = torch.randn((out,), generator=chance) * 0.1
    if not heads:
        roles = ("encoder", "attention_a", "attention_b", "attention_c")
        state = {f"{roles[int(name[6])]}{name[7:]}": tensor for name, tensor in state.items()}
    torch.save(state, path)
    return path


def attention_by_hand(path: Path, features: NDArray[np.float32], *, heads: int = 0) -> NDArray[np.float64]:
    """Return the attention of a checkpoint, (n,), or (n, heads), by numpy in float64, after arXiv:1802.04712."""
    state = {name: tensor.double().numpy() for name, tensor in torch.load(path, weights_only=True).items()}
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    layers = [(state[f"{name}.weight"], state[f"{name}.bias"]) for name in names]
    before = linear(features.astype(np.float64), layers[0])
    patches = gelu(before) if heads else np.maximum(before, 0)
    of_heads = [gated_attention(patches, layers[1 + 3 * head : 4 + 3 * head]) for head in range(heads or 1)]
    return np.stack(of_heads, axis=1) if heads > 1 else of_heads[0]


def linear(values: NDArray[np.float64], layer: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    weight, bias = layer
    return values @ weight.T + bias


def gelu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    erf = torch.erf(torch.from_numpy(values / np.sqrt(2))).numpy()
    return values * 0.5 * (1 + erf)


def gated_attention(patches: NDArray[np.float64], layers: list) -> NDArray[np.float64]:
    content, gate, score = layers
    hidden = np.tanh(linear(patches, content)) / (1 + np.exp(-linear(patches, gate)))
    scores = linear(hidden, score)[:, 0]
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def paint_scan(folder: Path, stem: str, *, mpp: float = 0.25, seed: int = 1) -> SlideSource:
    """Paint tissue of many shades on a slide of 2048 × 1536 px, by default a 40x scan."""
    pixels, chance = white(2048, 1536), np.random.default_rng(seed)
    for x, y in [(column, row) for row in range(256, 1280, 128) for column in range(256, 1792, 128)]:
        stain(pixels, x, y, 128, 128, tuple(chance.integers((150, 40, 90), (220, 120, 190)).tolist()))
    return SlideSource(stem, paint_slide(folder / f"{stem}.svs", pixels, mpp=mpp, objective_power=10 / mpp))


def recipe_with_abmil(folder: Path, **geometry: Any) -> Recipe:
    """Return the recipe of patches at 10x that overlap by half, and of an ABMIL of known weights in ``folder``."""
    torch.manual_seed(0)
    weights = folder / "vit.pt"
    if not weights.exists():
        torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), weights)
        write_abmil(folder / "abmil.pt", WIDTH)
    patches = {"patch_size": 64, "target_mag": 10, "step_size": 32, "precision": "float32", "slide_encoders": [ABMIL]}
    values = {
        "output": folder / "out",
        "geometry": [patches | geometry],
        "tissue": {"min_tissue_um2": 1000.0},
        "weights": {ABMIL: folder / "abmil.pt", PATCH_ENCODER: weights},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_recipe(make_project(values, origin="test"))
