"""Vision transformers in the layouts of their makers give what plain torch computes of the same numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_vits import Tensors, normed, plain_checkpoint, plain_hidden, plain_tokens
from seeded_checkpoints import at, check, resized

from atlaspatch_core.encoders.loaded import to_device, to_input
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.errors import WrongWeights

NARROW = {"embed_dim": 48, "depth": 2, "num_heads": 3}


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.delenv("ATLASPATCH_WEIGHTS", raising=False)


def renamed(tensors: Tensors, *words: tuple[str, str]) -> Tensors:
    for old, new in words:
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return tensors


def class_token_of(tensors: Tensors, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda pixels: plain_tokens(tensors, pixels, heads)[:, 0]


def test_gigapath_flash_gives_the_class_token_of_a_vit_with_swiglu(tmp_path: Path):
    """Names as timm has them, in which its makers publish it: fc1 holds both halves of the SwiGLU."""
    tensors = plain_checkpoint(384, 2, 16, hidden=1024, scaled=True)
    torch.save(renamed(tensors, ("w12", "fc1"), ("w3", "fc2")), tmp_path / "pytorch_model.bin")
    check(resized("gigapath-flash", depth=2), tmp_path, class_token_of(tensors, 6))


def test_sp22m_loads_from_the_wrapper_of_its_makers(tmp_path: Path):
    """Its makers publish the state dict of a module whose attribute ``encoder`` is DINO's ViT-S/16."""
    tensors = plain_checkpoint(384, 2, 16)
    torch.save({f"encoder.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "pytorch_model.bin")
    check(resized("sp22m", depth=2), tmp_path, class_token_of(tensors, 6))


def test_mstar_loads_in_timms_layout_and_ignores_the_configuration_beside(tmp_path: Path):
    """The hub's configuration says mean and std 0.5, and a crop of 0.9; its makers take ImageNet's, and none."""
    tensors = plain_checkpoint(48, 2, 16, scaled=True)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "crop_pct": 0.9}}')
    check(resized("mstar", **NARROW), tmp_path, class_token_of(tensors, 3))
    transform = PATCH_ENCODERS["mstar"].transform
    assert transform is not None
    assert (transform.resize, transform.crop, transform.mean[0]) == (224, 224, 0.485)


def test_openpath_loads_from_a_checkpoint_of_its_training(tmp_path: Path):
    """Its makers' training writes the teacher with heads, its blocks numbered within chunks."""
    tensors = plain_checkpoint(48, 2, 14, hidden=128, registers=4, scaled=True)
    teacher = {
        name.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."): tensor
        for name, tensor in tensors.items()
    }
    teacher = {f"backbone.{name}": tensor for name, tensor in teacher.items()}
    teacher |= {"backbone.mask_token": torch.zeros(1, 48), "dino_head.last_layer.weight": torch.zeros(9, 9)}
    torch.save({"teacher": teacher, "iteration": 316250}, tmp_path / "teacher_checkpoint.pth")
    encoder = resized("openpath", **NARROW, mlp_ratio=256 / 48)
    check(encoder, tmp_path / "teacher_checkpoint.pth", class_token_of(tensors, 3))


def test_digepath_loads_in_timms_layout(tmp_path: Path):
    tensors = plain_checkpoint(48, 2, 16, scaled=True)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    check(resized("digepath", **NARROW), tmp_path, class_token_of(tensors, 3))


@pytest.mark.parametrize("name", ["pathoduet-he", "pathoduet-ihc"])
def test_pathoduet_is_the_mean_of_patch_tokens_with_a_pretext_token_beside(tmp_path: Path, name: str):
    """Its makers put a pretext token before the class token, both with a place, and norm the mean of the patches."""
    tensors = plain_checkpoint(48, 2, 16, registers=1)
    tensors |= {f"fc_{layer}": tensors.pop(layer) for layer in ("norm.weight", "norm.bias")}
    pretext = torch.randn(1, 1, 48, generator=torch.Generator().manual_seed(3))
    published = {**tensors, "pos_embed": torch.cat([pretext, tensors["pos_embed"]], 1)}
    published["pretext_token"] = published.pop("register_tokens")
    torch.save({**published, "head.weight": torch.ones(9, 48)}, tmp_path / "checkpoint_HE.pth")
    tensors["register_tokens"] = tensors["register_tokens"] + pretext

    def mean(pixels: torch.Tensor) -> torch.Tensor:
        return normed(tensors, "fc_norm", plain_hidden(tensors, pixels, 3)[:, 2:].mean(1))

    check(resized(name, **NARROW), tmp_path / "checkpoint_HE.pth", mean)
    white = to_device(np.full((1, 256, 256, 3), 255, np.uint8), torch.device("cpu"))
    assert to_input(white, PATCH_ENCODERS[name]).max() == 1


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("gigapath-flash", {}, r"missing blocks\.0\.ls1\.gamma"),
        ("gigapath-flash", {"scaled": True}, r"of another shape blocks\.0\.mlp\.fc1"),
        ("sp22m", {"scaled": True}, r"unexpected blocks\.0\.ls1\.gamma"),
    ],
)
def test_weights_of_a_similar_network_are_refused(tmp_path: Path, name: str, given: dict[str, Any], says: str):
    torch.save(plain_checkpoint(384, 2, 16, **given), tmp_path / "other.pth")
    with pytest.raises(WrongWeights, match=rf"{name}: the checkpoint is of another network: {says}"):
        load_patch_encoder(at(resized(name, depth=2), tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        ("mstar", r"missing blocks\.0\.ls1\.gamma"),
        ("digepath", r"missing blocks\.0\.ls1\.gamma"),
        ("openpath", "missing reg_token"),
        ("pathoduet-he", r"missing reg_token, fc_norm\.weight"),
    ],
)
def test_weights_of_a_similar_large_network_are_refused(tmp_path: Path, encoder: str, says: str):
    torch.save(plain_checkpoint(48, 2, 14 if encoder == "openpath" else 16), tmp_path / "other.pth")
    with pytest.raises(WrongWeights, match=rf"{encoder}: the checkpoint is of another network: {says}"):
        load_patch_encoder(at(resized(encoder, **NARROW), tmp_path / "other.pth"))


def test_names_with_dashes_and_underscores_are_the_same_encoder():
    assert find_patch_encoder("gigapath_flash") is find_patch_encoder("gigapath-flash")
