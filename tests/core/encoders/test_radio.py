"""C-RADIO in the layout of its makers gives the class tokens that plain torch computes of the same numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_vits import Tensors, plain_checkpoint, plain_hidden
from seeded_checkpoints import at, check, resized

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.errors import WrongWeights

NARROW = {"embed_dim": 48, "depth": 2, "num_heads": 3}
SIZES = ("c-radiov2-b", "c-radiov2-l", "c-radiov2-h")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path_factory.mktemp("ours")))


def small(name: str) -> PatchEncoder:
    return replace(resized(name, **NARROW), dim=3 * 48)


def at_a_place(grid: torch.Tensor, row: float, column: float) -> torch.Tensor:
    """Return what lies at a place of a grid (n, n, d), by the weights of its four neighbours: (d,)."""
    top, left = min(int(row), len(grid) - 2), min(int(column), len(grid) - 2)
    down, right = row - top, column - left
    above = (1 - right) * grid[top, left] + right * grid[top, left + 1]
    below = (1 - right) * grid[top + 1, left] + right * grid[top + 1, left + 1]
    return (1 - down) * above + down * below


def radio(registers: int = 7) -> tuple[Tensors, Tensors]:
    """Return tensors in plain torch's names, and the same as NVIDIA publishes them."""
    tensors = plain_checkpoint(48, 2, 16, registers=registers, class_place=False)
    tensors["patch_embed.proj.bias"].zero_()
    grid = torch.randn(128, 128, 48, generator=torch.Generator().manual_seed(9)) * 0.05
    step = 127 / 13
    places = [at_a_place(grid, row * step, column * step) for row in range(14) for column in range(14)]
    tensors["pos_embed"] = torch.stack(places)[None]
    published = {name: value for name, value in tensors.items() if name.startswith("blocks.")}
    published["patch_generator.embedder.weight"] = tensors["patch_embed.proj.weight"].flatten(1)
    published["patch_generator.pos_embed"] = grid.reshape(1, -1, 48)
    published["patch_generator.cls_token.token"] = torch.cat([tensors["cls_token"], tensors["register_tokens"]], 1)[0]
    published = {f"radio_model.model.{name}": value for name, value in published.items()}
    conditioner = {f"radio_model.input_conditioner.norm_{word}": torch.ones(3, 1, 1) for word in ("mean", "std")}
    return tensors, published | conditioner | {"radio_model.summary_idxs": torch.tensor([0, 1, 2])}


@pytest.mark.parametrize("name", SIZES)
def test_c_radio_is_three_class_tokens_side_by_side_of_a_resampled_grid(tmp_path: Path, name: str):
    tensors, published = radio()
    torch.save(published, tmp_path / "pytorch_model.bin")
    check(small(name), tmp_path, lambda pixels: plain_hidden(tensors, pixels, 3)[:, :3].flatten(1))


@pytest.mark.parametrize("name", SIZES)
def test_other_vision_transformers_are_refused_as_c_radio(tmp_path: Path, name: str):
    torch.save(plain_checkpoint(48, 2, 16), tmp_path / "other.pth")
    with pytest.raises(WrongWeights, match=rf"{name}: the checkpoint is of another network: missing cls_token"):
        load_patch_encoder(at(small(name), tmp_path / "other.pth"))


def test_a_radio_of_other_teachers_is_refused(tmp_path: Path):
    torch.save(radio(registers=9)[1], tmp_path / "other.pth")
    with pytest.raises(WrongWeights, match=r"of another shape reg_token \(1, 9, 48\) for \(1, 7, 48\)"):
        load_patch_encoder(at(small("c-radiov2-b"), tmp_path / "other.pth"))


def test_the_sizes_have_dims_of_three_class_tokens_but_for_g():
    assert [find_patch_encoder(name).dim for name in SIZES] == [3 * 768, 3 * 1024, 3 * 1280]
    assert find_patch_encoder("C_RADIOv2_g") is PATCH_ENCODERS["c-radiov2-g"]
    assert PATCH_ENCODERS["c-radiov2-g"].dim == 3072
