"""EAGLE with networks that a test can afford, and the file of CHIEF that it reads."""

from pathlib import Path

import numpy as np
import torch
from painting import paint_slide

SMALL = """
from dataclasses import replace

import torch

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS as OURS


def colours(width):
    mean_colour = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return torch.nn.Sequential(mean_colour, torch.nn.Linear(3, width), torch.nn.Tanh())


PATCH_ENCODERS = [
    PatchEncoder.from_module("picking", lambda: colours(768), dim=768, image_size=None),
    PatchEncoder.from_module("averaged", lambda: colours(1280), dim=1280, image_size=None),
]
SLIDE_ENCODERS = [
    replace(OURS["eagle"], name="small-eagle", patch_encoder="picking", further_patch_encoders=("averaged",)),
    replace(OURS["eagle"], name="half-eagle", further_patch_encoders=("averaged",), patch_size=112),
]
"""
"""EAGLE itself over two encoders that a test can afford."""


def chief_checkpoint(path: Path, seed: int = 0, width: int = 768) -> dict[str, torch.Tensor]:
    """Write CHIEF_pretraining.pth with numbers drawn by chance, named and shaped as its makers publish it."""
    torch.manual_seed(seed)
    layers = {
        "attention_net.0": torch.nn.Linear(width, 512),
        "attention_net.3.attention_a.0": torch.nn.Linear(512, 256),
        "attention_net.3.attention_b.0": torch.nn.Linear(512, 256),
        "attention_net.3.attention_c": torch.nn.Linear(256, 1),
        "classifiers": torch.nn.Linear(512, 2),
        "text_to_vision.0": torch.nn.Linear(768, 512),
    }
    state = {
        f"{name}.{kind}": tensor.detach() * 3
        for name, layer in layers.items()
        for kind, tensor in layer.named_parameters()
    }
    torch.save({"organ_embedding": torch.randn(19, 768), **state}, path)
    return state


def eagle_by_hand(state: dict[str, torch.Tensor], by_attention: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Return what the makers' script does with the raw attention of CHIEF, in float64."""
    values = {name.removeprefix("attention_net."): tensor.double() for name, tensor in state.items()}

    def layer(name: str, given: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(given, values[f"{name}.weight"], values[f"{name}.bias"])

    hidden = layer("0", torch.from_numpy(by_attention).double()).relu()
    gated = layer("3.attention_a.0", hidden).tanh() * layer("3.attention_b.0", hidden).sigmoid()
    raw = layer("3.attention_c", gated).squeeze(1)
    _, indices = torch.topk(raw, min(25, len(raw)))
    return averaged[indices.numpy()].mean(axis=0)


def paint_gradient(path: Path) -> Path:
    """Paint a slide of 36 patches of 112 px, each of another colour."""
    pixels = np.full((1024, 1024, 3), 255, np.uint8)
    for row in range(6):
        for column in range(6):
            x, y = 112 * (1 + column), 112 * (1 + row)
            pixels[y : y + 112, x : x + 112] = (150 + 15 * row, 30 + 15 * column, 100 + 3 * row * column)
    return paint_slide(path, pixels, mpp=2)
