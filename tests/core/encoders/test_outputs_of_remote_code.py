"""Encoders whose code lies beside their weights: what is taken of what that code gives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from seeded_checkpoints import at, check, needs

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.errors import RemoteCodeNotAllowed, WrongWeights

DIM = 8
CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class TokensConfig(PretrainedConfig):
    model_type = "tiny_tokens"

    def __init__(self, prefix=1, **more):
        super().__init__(**more)
        self.prefix = prefix


class TokensModel(PreTrainedModel):
    config_class = TokensConfig

    def __init__(self, config):
        super().__init__(config)
        self.prefixes = torch.nn.Parameter(torch.zeros(1, config.prefix, 8))
        self.patches = torch.nn.Linear(3, 8)
        self.post_init()

    def forward(self, pixel_values):
        patches = self.patches(torch.nn.functional.avg_pool2d(pixel_values, 32).flatten(2).mT)
        prefixes = self.prefixes + pixel_values.mean((1, 2, 3))[:, None, None]
        return BaseModelOutput(last_hidden_state=torch.cat([prefixes, patches], 1))

    def encode(self, pixel_values):
        return torch.nn.functional.normalize(self.forward(pixel_values).last_hidden_state[:, 0], dim=-1)
"""
"""A network with the doors of RudolfV 2 (``last_hidden_state``) and of Waiv's encoders (``encode``, too)."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("transformers")
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(folder / "modules"))
    monkeypatch.delenv("ATLASPATCH_ALLOW_REMOTE_CODE", raising=False)


def remote_folder(folder: Path, prefix: int) -> dict[str, torch.Tensor]:
    """Write a folder as the hub gives it, whose network gives so many tokens before those of the patches."""
    (folder / "code_of_tokens.py").write_text(CODE)
    auto = {"AutoConfig": "code_of_tokens.TokensConfig", "AutoModel": "code_of_tokens.TokensModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny_tokens", "auto_map": auto, "prefix": prefix}))
    random = torch.Generator().manual_seed(4)
    shapes = {"prefixes": (1, prefix, DIM), "patches.weight": (DIM, 3), "patches.bias": (DIM,)}
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return tensors


def allowed(name: str) -> PatchEncoder:
    encoder = PATCH_ENCODERS[name]
    assert encoder.dim
    return replace(encoder, architecture=RemoteModel(allowed=True), dim=2 * DIM if "mean" in name else DIM)


def class_and_patches(tensors: dict[str, torch.Tensor], pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the class token (b, d) and the mean of the patch tokens (b, d)."""
    means = pixels.mean((2, 3))
    classes = tensors["prefixes"][:, 0] + means.mean(1)[:, None]
    return classes, means @ tensors["patches.weight"].T + tensors["patches.bias"]


@pytest.mark.parametrize("name", ["rudolfv2", "rudolfv2-b", "rudolfv2-s"])
def test_rudolfv2_is_the_class_token_and_its_mean_leaves_eight_registers_out(tmp_path: Path, name: str):
    tensors = remote_folder(tmp_path, prefix=9)
    check(allowed(name), tmp_path, lambda pixels: class_and_patches(tensors, pixels)[0])
    mean = f"{name.replace('-', '_')}_cls_mean"
    check(allowed(mean), tmp_path, lambda pixels: torch.cat(class_and_patches(tensors, pixels), 1))


@pytest.mark.parametrize("name", ["phaet", "mascaret"])
def test_encoders_of_waiv_give_class_tokens_of_length_1(tmp_path: Path, name: str):
    tensors = remote_folder(tmp_path, prefix=1)

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        classes = class_and_patches(tensors, pixels)[0]
        return classes / classes.norm(dim=1, keepdim=True)

    check(allowed(name), tmp_path, expected)


def test_class_and_mean_of_mascaret_are_of_any_length(tmp_path: Path):
    tensors = remote_folder(tmp_path, prefix=1)
    check(allowed("mascaret_cls_mean"), tmp_path, lambda pixels: torch.cat(class_and_patches(tensors, pixels), 1))


WITH_CODE = ("rudolfv2", "rudolfv2-b", "rudolfv2-s", "phaet", "mascaret")


@pytest.mark.parametrize("name", WITH_CODE)
def test_code_is_of_the_revision_that_was_read_and_runs_on_request_alone(tmp_path: Path, name: str):
    source = PATCH_ENCODERS[name].source
    assert isinstance(source, HubWeights)
    assert source.files is None
    assert len(source.revision or "") == 40
    remote_folder(tmp_path, prefix=9)
    with pytest.raises(RemoteCodeNotAllowed, match=f"{name}: its network is Python code beside its weights"):
        load_patch_encoder(at(PATCH_ENCODERS[name], tmp_path))


def test_the_folder_of_another_size_is_refused(tmp_path: Path):
    remote_folder(tmp_path, prefix=9)
    with pytest.raises(WrongWeights, match="rudolfv2-s: the network gives 8 features, declared are 384"):
        load_patch_encoder(at(replace(allowed("rudolfv2-s"), dim=384), tmp_path))


def test_a_file_of_tensors_alone_is_no_folder_with_code(tmp_path: Path):
    remote_folder(tmp_path, prefix=9)
    with pytest.raises(WrongWeights, match=r"phaet: .* is a file; name the folder with config\.json, code and weights"):
        load_patch_encoder(at(allowed("phaet"), tmp_path / "model.safetensors"))


def test_names_with_underscores_are_known():
    assert find_patch_encoder("rudolfv2_b") is find_patch_encoder("rudolfv2-b")
    assert find_patch_encoder("rudolfv2_s") is find_patch_encoder("rudolfv2-s")
