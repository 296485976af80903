"""PRISM2: its two embeddings, by code beside its weights that runs on request only."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from remote_folders import remote_folder
from safetensors.torch import save_file

from atlaspatch_core.encoders.checkpoint import read_checkpoint
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import RemoteCodeNotAllowed, WrongWeights

pytestmark = pytest.mark.quick

COUNT = 5
CODE = """
import torch
from transformers import PreTrainedModel
from .configuration import StubConfig


class Stub(PreTrainedModel):
    config_class = StubConfig

    def __init__(self, config):
        super().__init__(config)
        self.image_resampler = torch.nn.Linear(1280, 2560)
        self.img_projection = torch.nn.Linear(2560, 3072)
        self.text_decoder = torch.nn.Linear(3072, 3072)

    def get_base_embedding(self, tile_embeddings, attention_mask):
        assert tile_embeddings.shape == (1, 5, 1280) and tile_embeddings.dtype == torch.float32
        assert attention_mask.dtype == torch.int32 and attention_mask.tolist() == [[1] * 5]
        return self.image_resampler(tile_embeddings).mean(1)

    def get_diagnostic_embedding(self, tile_embeddings, attention_mask):
        return self.text_decoder(self.img_projection(self.get_base_embedding(tile_embeddings, attention_mask)))
"""
"""What PRISM2's code is called by, and the parts that its makers name."""


@pytest.fixture(scope="module")
def layers() -> dict[str, torch.nn.Linear]:
    torch.manual_seed(0)
    sizes = {"image_resampler": (1280, 2560), "img_projection": (2560, 3072), "text_decoder": (3072, 3072)}
    return {name: torch.nn.Linear(*size) for name, size in sizes.items()}


@pytest.fixture(scope="module")
def folder(layers: dict[str, torch.nn.Linear], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with its weights in parts, one of which the language model fills."""
    folder = tmp_path_factory.mktemp("prism2_stub")
    remote_folder(folder, CODE, {"none": torch.zeros(1)})
    (folder / "model.safetensors").unlink()
    parts: dict[str, dict[str, torch.Tensor]] = {"one.safetensors": {}, "two.safetensors": {}}
    for name, layer in layers.items():
        part = parts["two.safetensors" if name == "text_decoder" else "one.safetensors"]
        part |= {f"{name}.{kind}": tensor.detach() for kind, tensor in layer.named_parameters()}
    for file, tensors in parts.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    places = {name: file for file, tensors in parts.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_ALLOW_REMOTE_CODE", "prism2 prism2_diagnostic")


def embedding(name: str, folder: Path, features: torch.Tensor) -> np.ndarray:
    loaded = load_slide_encoder(find_slide_encoder(name, {name: folder}))
    return encode_slide(loaded, features.numpy(), np.zeros((COUNT, 2), np.int64), 448)


@pytest.mark.parametrize("name", ["prism2", "prism2_diagnostic"])
def test_each_embedding_is_what_its_part_of_the_network_gives(name: str, folder: Path, layers, allow: None):
    features = torch.randn(COUNT, 1280)
    with torch.inference_mode():
        expected = layers["image_resampler"](features).mean(0)
        if name == "prism2_diagnostic":
            expected = layers["text_decoder"](layers["img_projection"](expected))
    np.testing.assert_allclose(embedding(name, folder, features), expected.numpy(), atol=1e-5)


def test_the_base_embedding_reads_nothing_of_the_language_model(folder: Path, tmp_path: Path, allow: None):
    """Its file may even be missing; the diagnostic embedding says that it lacks it."""
    for file in folder.iterdir():
        if file.is_file() and file.name != "two.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    loaded = load_slide_encoder(find_slide_encoder("prism2", {"prism2": tmp_path}))
    assert loaded.network.text_decoder is None
    assert {name.partition(".")[0] for name in read_checkpoint(tmp_path, "prism2", without="text_decoder.")} == {
        "image_resampler",
        "img_projection",
    }
    with pytest.raises(WrongWeights, match=r"prism2_diagnostic: .* lacks two.safetensors"):
        load_slide_encoder(find_slide_encoder("prism2_diagnostic", {"prism2_diagnostic": tmp_path}))


def test_its_code_is_not_run_unasked(folder: Path):
    with pytest.raises(RemoteCodeNotAllowed, match=r"prism2: .*allow_remote_code = \[\"prism2\"\]"):
        load_slide_encoder(find_slide_encoder("prism2", {"prism2": folder}))
