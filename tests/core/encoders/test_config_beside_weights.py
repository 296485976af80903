"""Prost40M: a folder of timm whose configuration says how patches are normalised."""

import json
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
from atlaspatch_core.errors import WrongWeights

NARROW = {"embed_dim": 48, "depth": 2, "num_heads": 3}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def prost40m() -> PatchEncoder:
    encoder = PATCH_ENCODERS["prost40m"]
    architecture: Any = encoder.architecture
    network = replace(architecture.network, options={**architecture.network.options, **NARROW})
    return replace(encoder, architecture=replace(architecture, network=network), dim=48)


def hub_folder(folder: Path, mean: list[float]) -> Tensors:
    """Write a folder as timm pushes it to the hub; its configuration states how patches are normalised."""
    tensors = plain_checkpoint(48, 2, 14)
    save_file(tensors, folder / "model.safetensors")
    stated = {"mean": mean, "std": [0.229, 0.224, 0.225], "crop_pct": 0.9}
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_small_patch16_224", "pretrained_cfg": stated}))
    return tensors


def test_prost40m_loads_from_its_folder_and_from_its_file(tmp_path: Path):
    tensors = hub_folder(tmp_path, [0.485, 0.456, 0.406])
    for path in (tmp_path, tmp_path / "model.safetensors"):
        check(prost40m(), path, lambda pixels: plain_tokens(tensors, pixels, 3)[:, 0])


def test_prost40m_is_refused_where_its_configuration_normalises_otherwise(tmp_path: Path):
    hub_folder(tmp_path, [0.5, 0.5, 0.5])
    with pytest.raises(WrongWeights, match=r"prost40m: config\.json in .* says mean = \[0\.5, 0\.5, 0\.5\], not"):
        load_patch_encoder(at(prost40m(), tmp_path))


def test_weights_with_a_layer_scale_are_none_of_prost40m(tmp_path: Path):
    torch.save(plain_checkpoint(48, 2, 14, scaled=True), tmp_path / "other.pth")
    with pytest.raises(WrongWeights, match=r"prost40m: the checkpoint is of another network: unexpected blocks\.0"):
        load_patch_encoder(at(prost40m(), tmp_path / "other.pth"))
