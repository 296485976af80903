"""Checkpoints of seeded numbers, made by another implementation than ours, loaded and compared."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loaded import to_device, to_input
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.transformers_models import TransformersModel
from atlaspatch_core.encoders.weights import LocalWeights


def patches(count: int = 2, side: int = 224) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def seeded(network: torch.nn.Module, seed: int = 5) -> torch.nn.Module:
    """Give every parameter and statistic of a network a number that a mix-up would show."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.05)
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1)
    return network.eval()


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


def at(encoder: PatchEncoder, path: Path, **changes: Any) -> PatchEncoder:
    return replace(encoder, source=LocalWeights(path), **changes)


def smaller(name: str, dim: int, **options: Any) -> PatchEncoder:
    """An encoder of transformers with fewer and narrower layers."""
    needs("transformers")
    encoder = PATCH_ENCODERS[name]
    assert isinstance(encoder.architecture, TransformersModel)
    architecture = replace(encoder.architecture, options={**encoder.architecture.options, **options})
    return replace(encoder, architecture=architecture, dim=dim)


def resized(name: str, **options: Any) -> PatchEncoder:
    """An encoder whose network has other options, and the dim that they say."""
    encoder = PATCH_ENCODERS[name]
    architecture: Any = encoder.architecture
    architecture = replace(architecture, options={**architecture.options, **options})
    return replace(encoder, architecture=architecture, dim=options.get("embed_dim", encoder.dim))


def check(encoder: PatchEncoder, path: Path, expected: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """What is loaded from a path gives what the network gives from which the weights were saved."""
    given = patches()
    pixels = to_input(to_device(given, torch.device("cpu")), encoder)
    with torch.inference_mode():
        wanted = expected(pixels).numpy()
    features = load_patch_encoder(at(encoder, path), precision="float32").encode(given)
    assert features.shape == wanted.shape
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(features, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))
