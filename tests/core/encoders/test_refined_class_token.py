"""Mettle: the tokens of a vision transformer, of which a head refines the first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_vits import Tensors, plain_checkpoint, plain_tokens
from safetensors.torch import save_file
from seeded_checkpoints import at, check

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.patch.slideflow import RefinedVit
from atlaspatch_core.errors import WrongWeights

DIM, HEADS = 48, 3
NARROW = {"embed_dim": DIM, "depth": 2, "num_heads": HEADS, "mlp_ratio": 256 / DIM}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "cache"))


def narrow(name: str) -> PatchEncoder:
    encoder = PATCH_ENCODERS[name]
    assert isinstance(encoder.architecture, RefinedVit)
    assert encoder.dim
    trunk = replace(encoder.architecture.trunk, options={**encoder.architecture.trunk.options, **NARROW})
    return replace(encoder, architecture=RefinedVit(trunk, 4, 2, 16), dim=encoder.dim // 32)


def head() -> Tensors:
    """Return seeded tensors of a head by the names of its makers: four matrices of rank 2, and 16 numbers within."""
    shapes = {"P": (4, DIM, 2), "Q": (4, DIM, 2)}
    for layer, wide in (("mix", 4), ("shift", DIM)):
        shapes |= {f"{layer}.0.weight": (16, DIM), f"{layer}.0.bias": (16,)}
        shapes |= {f"{layer}.2.weight": (wide, 16), f"{layer}.2.bias": (wide,)}
    random = torch.Generator().manual_seed(9)
    return {name: torch.randn(shape, generator=random) * 0.3 for name, shape in shapes.items()}


def perceptron(head: Tensors, layer: str, token: torch.Tensor) -> torch.Tensor:
    within = torch.nn.functional.gelu(head[f"{layer}.0.weight"] @ token + head[f"{layer}.0.bias"])
    return head[f"{layer}.2.weight"] @ within + head[f"{layer}.2.bias"]


def refined(head: Tensors, token: torch.Tensor) -> torch.Tensor:
    """Refine one token (d,), matrix by matrix."""
    mix = perceptron(head, "mix", token)
    moved = sum(mix[k] * (head["Q"][k] @ (head["P"][k].T @ token)) for k in range(4))
    return token + moved + perceptron(head, "shift", token)


def checkpoint(path: Path) -> tuple[Tensors, Tensors]:
    """Save a checkpoint as its makers publish it; the position embedding has no place for the class token."""
    backbone = plain_checkpoint(DIM, 2, 14, hidden=128, registers=4, scaled=True, class_place=False)
    words = {"register_tokens": "reg_token", "w12": "fc1", "w3": "fc2"}
    named = {}
    for name, tensor in backbone.items():
        for old, new in words.items():
            name = name.replace(old, new)
        named[f"backbone.{name}"] = tensor
    save_file(named | {f"head.{name}": tensor for name, tensor in head().items()}, path)
    return backbone, head()


@pytest.mark.parametrize("name", ["mettle", "mettle_cls_mean"])
def test_the_head_refines_the_class_token_and_leaves_the_patches(tmp_path: Path, name: str):
    backbone, of_head = checkpoint(tmp_path / "model.safetensors")

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        tokens = plain_tokens(backbone, pixels, HEADS)
        assert tokens.shape[1] == 1 + 4 + 256
        classes = torch.stack([refined(of_head, token) for token in tokens[:, 0]])
        assert (classes - tokens[:, 0]).abs().max() > 0.1
        return classes if name == "mettle" else torch.cat([classes, tokens[:, 5:].mean(1)], 1)

    check(narrow(name), tmp_path / "model.safetensors", expected)


def test_the_head_computes_in_float32_where_the_rest_does_not():
    torch.manual_seed(3)
    network: Any = narrow("mettle").architecture.build(None).eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        pixels = torch.rand(2, 3, 224, 224)
        given, tokens = network.backbone(pixels).float(), network(pixels)
    with torch.inference_mode():
        torch.testing.assert_close(tokens[:, 0], network.head(given[:, 0]), rtol=0, atol=0)


def test_weights_of_h_optimus_are_no_weights_of_mettle(tmp_path: Path):
    save_file(plain_checkpoint(DIM, 2, 14), tmp_path / "h_optimus.safetensors")
    with pytest.raises(WrongWeights, match=r"mettle: the checkpoint is of another network: missing backbone\.cls"):
        load_patch_encoder(at(narrow("mettle"), tmp_path / "h_optimus.safetensors"))


def test_only_the_published_file_is_taken_for_mettle():
    assert PATCH_ENCODERS["mettle"].source.spec("mettle") == PATCH_ENCODERS["mettle_cls_mean"].source.spec("mettle")
    assert PATCH_ENCODERS["mettle"].source.spec("mettle")["sha256"].startswith("7754ef46")
