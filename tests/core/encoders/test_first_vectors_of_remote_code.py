"""Encoders whose code lies beside their weights and gives several things: the vector of the whole image is taken."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from seeded_checkpoints import at, check, needs

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loaded import to_device, to_input
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.errors import RemoteCodeNotAllowed, WrongWeights

DIM = 8
NAMES = ("c-radiov2-g", "conceptclip")
CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class SeveralConfig(PretrainedConfig):
    model_type = "tiny_several"


class SeveralModel(PreTrainedModel):
    config_class = SeveralConfig

    def __init__(self, config):
        super().__init__(config)
        self.project = torch.nn.Linear(3, 8)
        self.post_init()

    def forward(self, pixel_values):
        parts = self.project(torch.nn.functional.avg_pool2d(pixel_values, 32).flatten(2).mT)
        return self.project(pixel_values.mean((2, 3))), parts

    def encode_image(self, image, normalize=True):
        whole, parts = self.forward(image)
        return torch.nn.functional.normalize(whole, dim=-1) if normalize else whole, parts
"""
"""A network with the doors of C-RADIO (a call) and of ConceptCLIP (``encode_image``)."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("transformers")
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(folder / "modules"))
    monkeypatch.delenv("ATLASPATCH_ALLOW_REMOTE_CODE", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the hub gives it: configuration, code and weights."""
    (tmp_path / "code_of_several.py").write_text(CODE)
    auto = {"AutoConfig": "code_of_several.SeveralConfig", "AutoModel": "code_of_several.SeveralModel"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "tiny_several", "auto_map": auto}))
    random = torch.Generator().manual_seed(4)
    tensors = {
        "project.weight": torch.randn(DIM, 3, generator=random),
        "project.bias": torch.randn(DIM, generator=random),
    }
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    return tmp_path


def allowed(name: str) -> PatchEncoder:
    return replace(PATCH_ENCODERS[name], architecture=RemoteModel(allowed=True), dim=DIM)


@pytest.mark.parametrize("name", NAMES)
def test_the_vector_of_the_whole_image_is_taken_and_is_of_any_length(folder: Path, name: str):
    random = torch.Generator().manual_seed(4)
    weight, bias = torch.randn(DIM, 3, generator=random), torch.randn(DIM, generator=random)
    check(allowed(name), folder, lambda pixels: pixels.mean((2, 3)) @ weight.T + bias)


@pytest.mark.parametrize("name", NAMES)
def test_code_runs_on_request_alone(folder: Path, name: str):
    with pytest.raises(RemoteCodeNotAllowed, match=f"{name}: its network is Python code beside its weights"):
        load_patch_encoder(at(PATCH_ENCODERS[name], folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_another_network_is_refused(folder: Path, name: str):
    with pytest.raises(WrongWeights, match=rf"{name}: the network gives 8 features, declared are \d{{4}}"):
        load_patch_encoder(at(replace(allowed(name), dim=PATCH_ENCODERS[name].dim), folder))


@pytest.mark.parametrize(("name", "side", "least"), [("c-radiov2-g", 224, 0), ("conceptclip", 384, -1)])
def test_colours_reach_c_radio_g_as_they_are_and_conceptclip_from_minus_1_to_1(name: str, side: int, least: int):
    white = to_device(np.full((1, 256, 256, 3), 255, np.uint8), torch.device("cpu"))
    pixels = [to_input(given, PATCH_ENCODERS[name]) for given in (torch.zeros_like(white), white)]
    assert pixels[0].shape[2:] == (side, side)
    assert (pixels[0].min(), pixels[1].max()) == (least, 1)
