"""Weights in the layouts of their makers give what torchvision or transformers computes of the same numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from seeded_checkpoints import at, check, needs, resized, seeded

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.errors import MissingWeights, WrongWeights

Tensors = dict[str, torch.Tensor]
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
NARROW = {"embed_dim": 48, "depth": 2, "num_heads": 3}
BEIT = {
    "embeddings.patch_embeddings.projection": "patch_embed.projection",
    "encoder.relative_position_bias": "rel_pos_bias",
    "encoder.layer": "layers",
    "embeddings.": "",
    "layernorm_before": "ln1",
    "layernorm_after": "ln2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "ffn.layers.0.0",
    "output.dense": "ffn.layers.1",
    "lambda_": "gamma_",
}
"""Names of transformers to those of OpenMMLab, in the order in which they are replaced."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.delenv("ATLASPATCH_WEIGHTS", raising=False)


@pytest.mark.e2e
@pytest.mark.parametrize("with_head", [False, True])
def test_retccl_is_a_resnet_50_of_256_px_with_or_without_its_classifier(tmp_path: Path, with_head: bool):
    network = seeded(torchvision.models.resnet50(weights=None))
    state = network.state_dict()
    network.fc = torch.nn.Identity()
    torch.save(state if with_head else network.state_dict(), tmp_path / "retccl.pth")
    check(PATCH_ENCODERS["retccl"], tmp_path / "retccl.pth", network)
    transform = PATCH_ENCODERS["retccl"].transform
    assert transform is not None
    assert (transform.resize, transform.crop) == (256, None)


def beit(folder: Path, **options: Any) -> tuple[Any, Tensors]:
    """Return a small BEiT v2, and its tensors as OpenMMLab names them."""
    needs("transformers")
    import transformers

    shared = {"use_shared_relative_position_bias": True, "use_mean_pooling": True, "layer_scale_init_value": 0.1}
    config = transformers.BeitConfig(**SMALL, **{**shared, **options}, layer_norm_eps=1e-6)
    network = seeded(transformers.BeitModel(config))
    network.save_pretrained(folder)
    made = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for old, new in BEIT.items():
            name = name.replace(old, new)
        made[name] = tensor
    for layer in (f"layers.{number}" for number in range(SMALL["num_hidden_layers"])):
        own = f"{layer}.attention.attention"
        parts = [made.pop(f"{own}.{part}.weight") for part in ("query", "key", "value")]
        made[f"{layer}.attn.qkv.weight"] = torch.cat(parts)
        made |= {f"{layer}.attn.{part[0]}_bias": made.pop(f"{own}.{part}.bias") for part in ("query", "value")}
    return network, made


def published(tensors: Tensors) -> dict[str, Any]:
    """Return a checkpoint as pretraining writes it: a mask token and heads, and no norm behind the mean."""
    backbone = {f"backbone.{name}": tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    heads = {"backbone.mask_token": torch.zeros(1, 1, 48), "head.cls_head.weight": torch.ones(9, 48)}
    return {"state_dict": backbone | heads, "meta": {"epoch": 1600}}


def test_beph_is_the_mean_of_a_beit_whose_layers_share_their_positions(tmp_path: Path):
    network, tensors = beit(tmp_path)
    torch.nn.init.ones_(network.pooler.layernorm.weight)
    torch.nn.init.zeros_(network.pooler.layernorm.bias)
    torch.save(published(tensors), tmp_path / "BEPH_backbone.pth")
    wanted = lambda pixels: network(pixels).pooler_output  # noqa: E731
    check(resized("beph", **NARROW), tmp_path / "BEPH_backbone.pth", wanted)


def test_a_beit_without_positions_in_its_layers_is_refused_as_beph(tmp_path: Path):
    _, tensors = beit(tmp_path, use_shared_relative_position_bias=False)
    torch.save(published(tensors), tmp_path / "BEPH_backbone.pth")
    missing = r"beph: the checkpoint is of another network: missing blocks\.0\.attn\.relative_position_bias_table"
    with pytest.raises(WrongWeights, match=missing):
        load_patch_encoder(at(resized("beph", **NARROW), tmp_path / "BEPH_backbone.pth"))


@pytest.fixture
def isight(tmp_path: Path) -> tuple[Path, Any]:
    """Return a small checkpoint as its makers write it, and a function from pixels to the tokens that it gives."""
    needs("transformers")
    import transformers

    vision = {**SMALL, "image_size": 336, "patch_size": 14, "hidden_act": "quick_gelu"}
    text = {**SMALL, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    clip = seeded(transformers.CLIPModel(transformers.CLIPConfig(vision_config=vision, text_config=text)))
    clip.save_pretrained(tmp_path / "clip")
    projection = seeded(torch.nn.Linear(48, 40))
    state = {f"patch_encoder.{name}": it for name, it in load_file(tmp_path / "clip" / "model.safetensors").items()}
    state |= {f"visual_token_projection.{name}": it for name, it in projection.state_dict().items()}
    state["attention_net.0.weight"] = torch.ones(1)
    torch.save({"model_state_dict": state, "optimizer_state_dict": {"state": {}}, "epoch": 4}, tmp_path / "isight.pth")
    hidden = lambda pixels: clip.vision_model(pixels, output_hidden_states=True).hidden_states[-1]  # noqa: E731
    return tmp_path / "isight.pth", lambda pixels: projection(hidden(pixels))


def small_isight(name: str) -> PatchEncoder:
    return replace(resized(name, **NARROW, num_classes=40), dim=40)


def test_isight_is_the_mean_of_the_projected_tokens_of_a_clip_before_its_last_norm(isight: tuple[Path, Any]):
    path, tokens = isight
    check(small_isight("isight"), path, lambda pixels: tokens(pixels).mean(1))
    check(small_isight("isight_cls"), path, lambda pixels: tokens(pixels)[:, 0])


def test_a_clip_that_is_not_isights_is_refused(isight: tuple[Path, Any], tmp_path: Path):
    state = torch.load(isight[0])["model_state_dict"]
    torch.save({name.removeprefix("patch_encoder."): it for name, it in state.items()}, tmp_path / "clip.pth")
    with pytest.raises(WrongWeights, match=r"isight: the checkpoint is of another network: missing cls_token"):
        load_patch_encoder(at(small_isight("isight"), tmp_path / "clip.pth"))


def test_other_networks_are_refused_as_retccl(tmp_path: Path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "retccl.pth")
    with pytest.raises(WrongWeights, match="retccl: the checkpoint is of another network: missing layer1"):
        load_patch_encoder(at(PATCH_ENCODERS["retccl"], tmp_path / "retccl.pth"))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("beph", r"BEPH_backbone\.pth"),
        ("pathoduet-he", r"checkpoint_HE\.pth"),
        ("pathoduet-ihc", r"checkpoint_IHC\.pth"),
    ],
)
def test_weights_that_lie_on_a_drive_are_asked_for_by_their_file(name: str, file: str):
    with pytest.raises(MissingWeights, match=rf"{name}: .*{file}"):
        load_patch_encoder(PATCH_ENCODERS[name])
