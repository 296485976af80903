"""Every patch encoder is built from its declaration; one of each kind is loaded from published layouts."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import patch_encoder_facts as facts
import pytest
import timm
import torch
import torchvision
from makers_layouts import makers_layout
from safetensors.torch import save_file
from seeded_checkpoints import at, check, needs, patches, seeded, smaller

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.adapting import dinov2_as_timm, dinov3_as_timm
from atlaspatch_core.encoders.architecture import OpenClipModel, PackageModel
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.patch.chief import CTRANSPATH, ctranspath_as_timm
from atlaspatch_core.encoders.patch.trident import SHARED, TRIDENT, as_trident
from atlaspatch_core.encoders.preprocessing import input_side
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.transformers_models import TransformersModel
from atlaspatch_core.errors import LicenseNotAllowed, MissingExtra, RemoteCodeNotAllowed, WrongWeights
from atlaspatch_core.validity.recipe import make_recipe

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL_MLP = {**SMALL, "intermediate_size": 64}
TEXT = {**SMALL_MLP, "vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
FOREIGN = (RemoteModel, PackageModel)
"""Architectures whose code is not ours to install."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(folder / "ours"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    for name in ("ATLASPATCH_ALLOW_REMOTE_CODE", "ATLASPATCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


def needed_by(encoder: PatchEncoder) -> None:
    if isinstance(encoder.architecture, TransformersModel):
        needs("transformers")
    if isinstance(encoder.architecture, OpenClipModel):
        needs("open_clip")


# Names


def test_every_name_of_atlaspatch_is_an_encoder_with_its_dim():
    assert len(facts.ATLASPATCH) == 66
    assert {name: find_patch_encoder(name).dim for name in facts.ATLASPATCH} == facts.ATLASPATCH
    assert all(find_patch_encoder(name).name == name for name in facts.ATLASPATCH)


def test_every_key_of_trident_leads_to_its_own_numbers():
    assert TRIDENT.keys() == facts.TRIDENT.keys()
    found = {key: PATCH_ENCODERS[name] for key, name in TRIDENT.items()}
    assert {key: (e.dim, e.patch_size, e.magnification) for key, e in found.items()} == facts.TRIDENT


def test_keys_of_trident_are_names_here_unless_atlaspatch_means_other_numbers():
    """Keys of trident are names here unless atlaspatch means other numbers by them."""
    same = {key for key, name in TRIDENT.items() if find_patch_encoder(key).name == name}
    assert TRIDENT.keys() - same == facts.SAME_NAME_OTHER_NUMBERS == SHARED
    for key in facts.SAME_NAME_OTHER_NUMBERS:
        assert find_patch_encoder(f"trident-{key}").name == TRIDENT[key] == as_trident(key)
        assert find_patch_encoder(f"atlaspatch-{key}").name == key == find_patch_encoder(key).name
        assert as_trident(f"mean-{key}") == f"mean-{TRIDENT[key]}"
        assert "TRIDENT" in PATCH_ENCODERS[key].note


def test_declarations_are_complete():
    for encoder in PATCH_ENCODERS.values():
        assert encoder.license
        assert encoder.homepage.startswith("https://")
        assert encoder.dim
        assert getattr(encoder.source, "gated", encoder.gated) == encoder.gated


def test_the_tables_and_their_specs_need_no_torch():
    script = (
        "import sys; from atlaspatch_core.encoders.patch import PATCH_ENCODERS as P; from atlaspatch_core.encoders."
        "listing import listed; from atlaspatch_core.encoders.weights import NotGiven as N; listed('patch');"
        "[e.spec() for e in P.values() if not isinstance(e.source, N)];"
        "print([m for m in ('torch', 'timm', 'transformers', 'open_clip', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Architectures


NATIVE = [encoder for encoder in PATCH_ENCODERS.values() if not isinstance(encoder.architecture, FOREIGN)]


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param(encoder, marks=pytest.mark.e2e if number % 6 else (), id=encoder.name)
        for number, encoder in enumerate(NATIVE)
    ],
)
def test_an_architecture_is_of_its_size_and_gives_vectors_of_its_dim(encoder: PatchEncoder):
    needed_by(encoder)
    side = input_side(encoder.transform)
    assert side is not None
    with torch.device("meta"), torch.inference_mode():
        network = encoder.architecture.build(None).eval()
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        assert millions == pytest.approx(facts.MILLIONS[encoder.name], abs=0.006)
        if not encoder.name.startswith("gemma4"):  # its code asks for values
            assert encoder.pooling(network, torch.zeros(2, 3, side, side)).shape == (2, encoder.dim)


def test_every_encoder_has_a_known_size_or_foreign_code():
    foreign = {encoder.name for encoder in PATCH_ENCODERS.values() if isinstance(encoder.architecture, FOREIGN)}
    assert foreign == facts.WITH_FOREIGN_CODE
    assert facts.MILLIONS.keys() == PATCH_ENCODERS.keys() - foreign


# Weights as they are published


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "fc"),
        pytest.param("convnext_tiny", "classifier", marks=pytest.mark.e2e),
        pytest.param("vit_b_16", "heads", marks=pytest.mark.e2e),
    ],
)
def test_torchvision_weights_with_their_classifier_load(tmp_path: Path, name: str, layer: str):
    network = seeded(torchvision.models.get_model(name, weights=None))
    torch.save(network.state_dict(), tmp_path / "a.pth")
    setattr(network, layer, torch.nn.Identity())
    check(PATCH_ENCODERS[name], tmp_path / "a.pth", lambda pixels: network(pixels).flatten(1))


@pytest.mark.e2e
def test_the_third_stage_of_resnet50_comes_from_whole_weights(tmp_path: Path):
    network = seeded(timm.create_model("resnet50"))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    maps = torch.nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
    stages = torch.nn.Sequential(maps, network.layer1, network.layer2, network.layer3)
    check(PATCH_ENCODERS["resnet50_layer3"], tmp_path, lambda pixels: stages(pixels).mean((2, 3)))


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_of_timm_load_from_a_folder_or_a_file(tmp_path: Path, file: str):
    network = seeded(timm.create_model("vit_small_patch16_224", num_classes=0))
    if file.endswith("safetensors"):
        save_file(network.state_dict(), tmp_path / file)
        check(PATCH_ENCODERS["lunit_vit_small_patch16_dino"], tmp_path, network)
    else:
        torch.save(network.state_dict(), tmp_path / file)
        check(PATCH_ENCODERS["lunit_vit_small_patch16_dino"], tmp_path / file, network)


@pytest.mark.e2e
def test_weights_in_parts_load_from_their_folder(tmp_path: Path):
    network = seeded(timm.create_model("resnet50", num_classes=0))
    state = network.state_dict()
    names = list(state)
    parts = {"one.safetensors": names[:9], "two.safetensors": names[9:]}
    for file, some in parts.items():
        save_file({name: state[name] for name in some}, tmp_path / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    check(PATCH_ENCODERS["lunit_resnet50_bt"], tmp_path, network)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(WrongWeights, match=r"lacks two\.safetensors"):
        load_patch_encoder(at(PATCH_ENCODERS["lunit_resnet50_bt"], tmp_path))


@pytest.mark.parametrize("registers", [0, 4])
def test_class_and_mean_leave_the_registers_out(tmp_path: Path, registers: int):
    name = "virchow_v2" if registers else "virchow_v1"
    options = {"embed_dim": 32, "depth": 2, "num_heads": 2}
    architecture = PATCH_ENCODERS[name].architecture
    architecture = replace(architecture, options={**architecture.options, **options})  # pyright: ignore
    network = seeded(architecture.build(None))
    torch.save(network.state_dict(), tmp_path / "a.bin")

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        tokens = network.forward_features(pixels)  # pyright: ignore[reportCallIssue]
        assert tokens.shape[1] == 1 + registers + 256
        return torch.cat([tokens[:, 0], tokens[:, 1 + registers :].mean(1)], 1)

    check(replace(PATCH_ENCODERS[name], architecture=architecture, dim=64), tmp_path / "a.bin", expected)


@pytest.mark.parametrize(
    "encoder",
    [pytest.param(it, marks=pytest.mark.e2e if place else (), id=it.name) for place, it in enumerate(CTRANSPATH)],
)
def test_ctranspath_loads_in_the_layouts_of_today_and_of_the_older_timm(tmp_path: Path, encoder: PatchEncoder):
    network = seeded(encoder.architecture.build(None))
    old = {}
    for name, value in network.state_dict().items():
        parts = name.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) - 1)
        old[".".join(parts)] = value
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    old["head.weight"] = torch.zeros(1000, 768)
    assert "layers.0.downsample.norm.weight" in old
    assert ctranspath_as_timm(old, network.state_dict()).keys() == network.state_dict().keys()
    torch.save({"model": old}, tmp_path / "ctranspath.pth")
    check(encoder, tmp_path / "ctranspath.pth", network)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    check(encoder, tmp_path / "model.safetensors", network)


def test_ctranspath_is_chiefs_and_the_original_has_a_name_and_weights_of_its_own():
    assert find_patch_encoder("ctranspath").name == "chief-ctranspath"
    chief, original = CTRANSPATH
    assert find_patch_encoder("ctranspath-original") == original
    assert (original.license, original.gated, original.dim) == ("GPL-3.0-only", False, 768)
    assert original.source != chief.source


def test_dinov3_in_the_layout_of_its_makers_gives_the_same_vectors_in_timm():
    needs("transformers")
    import transformers

    options = {"num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu", "query_bias": False}
    sizes = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 256}
    config = transformers.DINOv3ViTConfig(**sizes, **options, value_bias=False, num_channels=1)
    reference = seeded(transformers.DINOv3ViTModel(config))
    state = reference.state_dict()
    layer = "model.layer" if "model.layer.0.norm1.weight" in state else "layer"
    made = makers_layout(state, layer, "attention.o_proj", {"gate_proj": "w1", "up_proj": "w2", "down_proj": "w3"})
    made |= {"storage_tokens": state["embeddings.register_tokens"], "rope_embed.periods": torch.ones(8)}

    architecture = PATCH_ENCODERS["genbio-pathfm"].architecture
    narrow = {"embed_dim": 96, "depth": 2, "num_heads": 3}
    network = replace(architecture, options={**architecture.options, **narrow}).build(None).eval()  # pyright: ignore
    network.load_state_dict(dinov3_as_timm(made, network.state_dict()), strict=True)
    pixels = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        features = PATCH_ENCODERS["genbio-pathfm"].pooling(network, pixels)
        wanted = torch.cat([reference(pixels[:, c : c + 1]).pooler_output for c in range(3)], 1)
    torch.testing.assert_close(features, wanted, atol=1e-4, rtol=1e-4)


def test_dinov2_with_registers_as_its_makers_store_it_gives_the_same_vectors():
    """Dinov2 with registers in the layout of its makers gives the same vectors in timm."""
    needs("transformers")
    import transformers

    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 224, "patch_size": 14}
    config = transformers.Dinov2WithRegistersConfig(**sizes, num_register_tokens=4, use_swiglu_ffn=True)
    reference = seeded(transformers.Dinov2WithRegistersModel(config))
    state = reference.state_dict()
    if "encoder.layer.0.mlp.gate_proj.weight" not in state:
        pytest.skip("this version of transformers names the layers otherwise")
    gate = {"gate_proj": "gate", "up_proj": "up", "down_proj": "w3"}
    made = makers_layout(state, "encoder.layer", "attention.o_proj", gate)
    for block, end in product(("blocks.0.mlp", "blocks.1.mlp"), ("weight", "bias")):
        made[f"{block}.w12.{end}"] = torch.cat([made.pop(f"{block}.{half}.{end}") for half in ("gate", "up")])
    made |= {
        "register_tokens": state["embeddings.register_tokens"],
        "pos_embed": state["embeddings.position_embeddings"],
    }
    hidden = made["blocks.0.mlp.w12.weight"].shape[0]
    architecture = PATCH_ENCODERS["openmidnight"].architecture
    narrow = {"embed_dim": 48, "depth": 2, "num_heads": 3, "mlp_ratio": hidden / 48}
    network = replace(architecture, options={**architecture.options, **narrow}).build(None).eval()  # pyright: ignore
    network.load_state_dict(dinov2_as_timm(made, network.state_dict()), strict=True)
    chunked = {name.replace("blocks.", "teacher.backbone.blocks.0."): value for name, value in made.items()}
    assert dinov2_as_timm(chunked, network.state_dict()).keys() == network.state_dict().keys()
    pixels = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), reference(pixels).last_hidden_state[:, 0], atol=1e-4, rtol=1e-4)


# transformers


def saved(network: Any, folder: Path) -> list[Path]:
    """Save a network of transformers in its published layout, and by the names of the version that is installed."""
    network.save_pretrained(folder)
    torch.save(network.state_dict(), folder / "by_other_names.pt")
    return [folder, folder / "model.safetensors", folder / "by_other_names.pt"]


@pytest.mark.parametrize("image_size", [518, 224])
def test_a_dinov2_of_transformers_loads_whatever_image_size_it_was_trained_at(tmp_path: Path, image_size: int):
    encoder = smaller("dinov2_small", 32, **SMALL)
    import transformers

    network = seeded(transformers.Dinov2Model(transformers.Dinov2Config(**SMALL, image_size=image_size, patch_size=14)))
    for path in saved(network, tmp_path):
        check(encoder, path, lambda pixels: network(pixels).last_hidden_state[:, 0])


def test_midnight_is_class_token_and_mean_and_midnight12k_the_class_token(tmp_path: Path):
    """Midnight is class token and mean of patches and midnight12k the class token."""
    sizes = {**SMALL, "use_swiglu_ffn": True}
    encoder = smaller("midnight", 64, **SMALL)
    import transformers

    network = seeded(transformers.Dinov2Model(transformers.Dinov2Config(**sizes, image_size=224, patch_size=14)))
    saved(network, tmp_path)

    def tokens(pixels: torch.Tensor) -> torch.Tensor:
        return network(pixels).last_hidden_state

    check(encoder, tmp_path, lambda pixels: torch.cat([tokens(pixels)[:, 0], tokens(pixels)[:, 1:].mean(1)], 1))
    check(smaller("midnight12k", 32, **SMALL), tmp_path, lambda pixels: tokens(pixels)[:, 0])


def test_a_dinov3_of_transformers_gives_its_pooled_output(tmp_path: Path):
    encoder = smaller("dinov3_vits16_plus", 32, **SMALL_MLP)
    import transformers

    assert isinstance(encoder.architecture, TransformersModel)
    network = seeded(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**encoder.architecture.options)))
    for path in saved(network, tmp_path):
        check(encoder, path, lambda pixels: network(pixels).pooler_output)


def test_phikon_loads_with_a_pooler_that_it_does_not_use(tmp_path: Path):
    encoder = smaller("phikon_v1", 32, **SMALL_MLP)
    import transformers

    network = seeded(transformers.ViTModel(transformers.ViTConfig(**SMALL_MLP)))
    for path in saved(network, tmp_path):
        check(encoder, path, lambda pixels: network(pixels).last_hidden_state[:, 0])


def image_features(network: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What older versions of transformers return as it is, newer ones in an object."""
    given = network.get_image_features(pixel_values=pixels)
    return given if torch.is_tensor(given) else given.pooler_output


def test_a_clip_of_transformers_loads_with_its_text_tower_beside(tmp_path: Path):
    sizes = {**SMALL_MLP, "projection_dim": 16}
    encoder = smaller("plip", 16, **sizes)
    import transformers

    vision = {**sizes, "image_size": 224, "patch_size": 32}
    config = transformers.CLIPConfig(vision_config=vision, text_config=TEXT, projection_dim=16)
    network = seeded(transformers.CLIPModel(config))
    for path in saved(network, tmp_path):
        check(encoder, path, lambda pixels: image_features(network, pixels))


def test_a_siglip_of_transformers_loads_with_its_text_tower_beside(tmp_path: Path):
    encoder = smaller("medsiglip", 32, **SMALL_MLP)
    import transformers

    config = transformers.SiglipConfig(
        vision_config={**SMALL_MLP, "image_size": 448, "patch_size": 14}, text_config=TEXT
    )
    network = seeded(transformers.SiglipModel(config))
    for path in saved(network, tmp_path):
        check(encoder, path, lambda pixels: image_features(network, pixels))


@pytest.mark.parametrize("options", [{}, {"use_clipped_linears": True, "standardize": True}])
def test_a_gemma4_tower_takes_what_is_left_open_from_its_config(tmp_path: Path, options: dict[str, bool]):
    import transformers

    if not hasattr(transformers, "Gemma4VisionModel"):
        pytest.skip("this version of transformers has no Gemma 4")
    sizes = {**SMALL_MLP, "num_key_value_heads": 2, "head_dim": 16, "patch_size": 16}
    encoder = smaller("gemma4-e4b", 32, **sizes)
    network: Any = seeded(transformers.Gemma4VisionModel(transformers.Gemma4VisionConfig(**sizes, **options)))
    for name, buffer in network.named_buffers():
        if name.startswith("std_"):
            buffer.uniform_(0.5, 1)
    state = {f"model.vision_tower.{name}": value.contiguous() for name, value in network.state_dict().items()}
    save_file(state | {"model.language_model.x": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": network.config.to_dict()}))

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        one = (pixels * 255).round().clamp(0, 255).to(torch.uint8)
        processed = [transformers.Gemma4ImageProcessor()(images=[image], return_tensors="pt") for image in one]
        given = [network(p["pixel_values"], p["image_position_ids"]).last_hidden_state for p in processed]
        return torch.stack([tokens.reshape(256, -1).mean(0) for tokens in given])

    check(encoder, tmp_path, expected)


def test_a_config_that_says_otherwise_is_refused(tmp_path: Path):
    encoder = smaller("dinov2_small", 32, **SMALL)
    import transformers

    config = transformers.Dinov2Config(**{**SMALL, "num_attention_heads": 4}, image_size=518, patch_size=14)
    saved(transformers.Dinov2Model(config), tmp_path)
    with pytest.raises(WrongWeights, match=r"config\.json beside .* says num_attention_heads = 4, not 2"):
        load_patch_encoder(at(encoder, tmp_path))


def test_a_checkpoint_of_transformers_that_lacks_a_layer_is_refused(tmp_path: Path):
    encoder = smaller("dinov2_small", 32, **SMALL)
    import transformers

    network = transformers.Dinov2Model(transformers.Dinov2Config(**{**SMALL, "num_hidden_layers": 1}, patch_size=14))
    torch.save(network.state_dict(), tmp_path / "a.pt")
    with pytest.raises(WrongWeights, match=r"dinov2_small: the checkpoint is of another network: missing encoder\.lay"):
        load_patch_encoder(at(encoder, tmp_path / "a.pt"))


# open_clip

TINY_TOWER = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 32, "image_size": 224}


@pytest.mark.parametrize("quick", [True, False])
def test_the_vision_tower_of_an_open_clip_checkpoint_is_taken(tmp_path: Path, quick: bool):
    needs("open_clip")
    import open_clip

    text = {"context_length": 8, "vocab_size": 99, "width": 32, "heads": 2, "layers": 1}
    network = seeded(open_clip.CLIP(16, TINY_TOWER, text, quick_gelu=quick))  # pyright: ignore[reportArgumentType]
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "a.pt")
    tower = OpenClipModel("tiny", quick, {"embed_dim": 16, "vision_cfg": TINY_TOWER})
    encoder = replace(PATCH_ENCODERS["clip_vit_b_32"], architecture=tower, dim=16)
    check(encoder, tmp_path / "a.pt", network.encode_image)  # pyright: ignore[reportArgumentType]


def test_omiclip_gives_what_coca_encodes(tmp_path: Path):
    needs("open_clip")
    import open_clip

    vision = {**TINY_TOWER, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {"context_length": 8, "vocab_size": 99, "width": 32, "heads": 2, "layers": 1, "embed_cls": True}
    text |= {"output_tokens": True}
    several = {"context_length": 8, "vocab_size": 99, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    network = seeded(open_clip.CoCa(32, several, text, vision))  # pyright: ignore[reportArgumentType]
    torch.save({"state_dict": network.state_dict()}, tmp_path / "checkpoint.pt")
    tower = OpenClipModel("tiny", config={"embed_dim": 32, "vision_cfg": vision})
    encoder = replace(PATCH_ENCODERS["omiclip"], architecture=tower, dim=32)
    check(encoder, tmp_path / "checkpoint.pt", network.encode_image)  # pyright: ignore[reportArgumentType]


def test_weights_of_openai_need_the_quick_gelu():
    for encoder in PATCH_ENCODERS.values():
        if isinstance(encoder.architecture, OpenClipModel):
            assert encoder.architecture.quick_gelu == encoder.name.startswith("clip_")


def test_an_encoder_whose_package_is_missing_says_how_to_install_it(tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    for name in ("conch_v1", "musk"):
        if importlib.util.find_spec(name.partition("_")[0]) is None:
            with pytest.raises(
                MissingExtra, match=rf"{name}: needs .*, which is not installed; run: pip install git\+"
            ):
                load_patch_encoder(at(PATCH_ENCODERS[name], tmp_path / "pytorch_model.bin"))


# Code beside weights

REMOTE_CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel


class TinyConfig(PretrainedConfig):
    model_type = "tiny_remote"


class Output(dict):
    __getattr__ = dict.__getitem__


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.project = torch.nn.Linear(3, 8)
        self.post_init()

    def forward(self, pixel_values):
        return Output(pooler_output=self.project(pixel_values.mean((2, 3))))

    def return_part(self):
        return self.project, "a transform"
"""


@pytest.fixture
def remote_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the hub gives it: configuration, code and weights."""
    needs("transformers")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "code_of_tiny.py").write_text(REMOTE_CODE)
    auto = {"AutoConfig": "code_of_tiny.TinyConfig", "AutoModel": "code_of_tiny.TinyModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "tiny_remote", "auto_map": auto}))
    layer = seeded(torch.nn.Linear(3, 8))
    save_file(
        {f"project.{k}": v for k, v in layer.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


def remote_encoder(folder: Path, allowed: bool) -> PatchEncoder:
    return at(PATCH_ENCODERS["hibou_b"], folder, architecture=RemoteModel(allowed=allowed), dim=8)


def test_code_beside_weights_is_refused_until_it_is_allowed(remote_folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        RemoteCodeNotAllowed, match=r'hibou_b: .* write allow_remote_code = \["hibou_b"\] in the project'
    ):
        load_patch_encoder(remote_encoder(remote_folder, allowed=False))
    monkeypatch.setenv("ATLASPATCH_ALLOW_REMOTE_CODE", "keep, hibou_b")
    assert load_patch_encoder(remote_encoder(remote_folder, allowed=False)).dim == 8


def test_code_that_is_allowed_is_run_with_its_weights(remote_folder: Path):
    layer = seeded(torch.nn.Linear(3, 8))
    check(remote_encoder(remote_folder, allowed=True), remote_folder, lambda pixels: layer(pixels.mean((2, 3))))


def test_a_part_of_a_model_with_code_of_its_own_can_be_the_network(remote_folder: Path):
    loaded = RemoteModel(part="return_part", allowed=True).load(remote_folder, "conch_v15")
    assert isinstance(loaded, torch.nn.Linear)


def test_code_is_part_of_the_identity(remote_folder: Path):
    encoder = remote_encoder(remote_folder, allowed=False)
    before = encoder.spec()
    assert before == remote_encoder(remote_folder, allowed=True).spec()
    with (remote_folder / "code_of_tiny.py").open("a") as file:
        file.write("# changed\n")
    assert encoder.spec() != before


def test_weights_that_lack_a_tensor_of_their_code_are_refused(remote_folder: Path):
    save_file({"project.weight": torch.ones(8, 3)}, remote_folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WrongWeights, match=r"hibou_b: .* lacks project\.bias"):
        load_patch_encoder(remote_encoder(remote_folder, allowed=True))


def test_a_file_alone_is_no_network_with_code(remote_folder: Path):
    with pytest.raises(WrongWeights, match=r"name the folder with config\.json, code and weights"):
        load_patch_encoder(remote_encoder(remote_folder / "model.safetensors", allowed=True))


# What a project allows


def project(*encoders: str, **values: Any) -> Project:
    geometry = Geometry(patch_size=256, target_mag=20, patch_encoders=encoders)
    return Project.model_validate({"geometry": (geometry,), **values})


def test_a_project_allows_code_by_name():
    with pytest.raises(RemoteCodeNotAllowed, match="hibou_l: its network is Python code beside its weights"):
        make_recipe(project("hibou_l"))
    (stage,) = (
        stage for stage in make_recipe(project("hibou_l", allow_remote_code=["Hibou_L"])).stages if stage.encoder
    )
    assert isinstance(stage.encoder, PatchEncoder)
    assert isinstance(stage.encoder.architecture, RemoteModel)
    assert stage.encoder.architecture.allowed


def test_a_project_refuses_licences_that_it_does_not_list():
    allowed = ["apache-2.0", "MIT"]
    make_recipe(project("efficientnet_lite0", "virchow_v1", "midnight", allow_licenses=allowed))
    with pytest.raises(LicenseNotAllowed, match=r"uni_v1: its licence CC-BY-NC-ND-4\.0 is not among allow_licenses"):
        make_recipe(project("efficientnet_lite0", "uni_v1", allow_licenses=allowed))
    with pytest.raises(LicenseNotAllowed, match="efficientnet_lite0"):
        make_recipe(project("efficientnet_lite0", allow_licenses=["MIT"]))
    make_recipe(project("midnight", allow_licenses=["MIT"]))


# Numbers


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", pytest.param("lunit_vit_small_patch16_dino", marks=pytest.mark.e2e)]
)
def test_vectors_depend_neither_on_the_batch_nor_on_the_order(tmp_path: Path, name: str):
    encoder = PATCH_ENCODERS[name]
    if name != "efficientnet_lite0":
        torch.save(seeded(timm.create_model("vit_small_patch16_224", num_classes=0)).state_dict(), tmp_path / "a.pt")
        encoder = at(encoder, tmp_path / "a.pt")
    loaded = load_patch_encoder(encoder)
    given = patches(8, 224)
    together = loaded.encode(given)
    alone = np.concatenate([loaded.encode(one[None]) for one in given[:2]])
    np.testing.assert_allclose(together[:2], alone, atol=1e-5)
    np.testing.assert_allclose(loaded.encode(given[::-1])[::-1], together, atol=1e-5)


def test_half_precision_casts_operations_where_the_makers_do_and_weights_elsewhere(tmp_path: Path):
    network = seeded(timm.create_model("test_vit", num_classes=0))
    torch.save(network.state_dict(), tmp_path / "a.pt")
    transform = Transform(160, 160, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    changes = {"architecture": replace(PATCH_ENCODERS["lunit_vit_small_patch16_dino"].architecture, name="test_vit")}  # pyright: ignore
    encoder = at(
        PATCH_ENCODERS["lunit_vit_small_patch16_dino"], tmp_path / "a.pt", dim=64, transform=transform, **changes
    )
    for autocast, kept in ((True, torch.float32), (False, torch.bfloat16)):
        loaded = load_patch_encoder(replace(encoder, autocast=autocast), precision="bfloat16")
        assert loaded.precision == "bfloat16"
        assert next(loaded.forward.parameters()).dtype == kept  # pyright: ignore[reportFunctionMemberAccess]
        assert loaded.encode(patches(2, 160)).dtype == np.float32
    assert load_patch_encoder(encoder, precision="float16").precision == "float32"
