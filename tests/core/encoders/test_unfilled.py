"""Networks whose numbers all come from a checkpoint are built without any, and are what they would have been."""

from pathlib import Path

import pytest
import torch

from atlaspatch_core.encoders.adapting import Without, dinov2_as_timm
from atlaspatch_core.encoders.architecture import Built, TimmModel
from atlaspatch_core.encoders.loading import load_network
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.unfilled import built_to_fill
from atlaspatch_core.encoders.weights import LocalWeights
from atlaspatch_core.errors import WrongWeights

VIT = TimmModel("vit_tiny_patch16_224", {"depth": 2, "img_size": 32, "reg_tokens": 2, "init_values": 1e-5})
RESNET = TimmModel("resnet10t")
SWIN = TimmModel("swin_tiny_patch4_window7_224", {"depths": (1, 1), "num_heads": (3, 3), "embed_dim": 24})
"""Keeps positions of its windows beside its weights."""
ROPE = TimmModel("vit_small_patch16_rope_224", {"depth": 1, "img_size": 32})
UNCHANGED = Without(())


def filled_file(architecture: TimmModel, folder: Path) -> tuple[Path, torch.nn.Module]:
    """Return a file of random numbers, other than those that a network begins with, and the network that has them."""
    torch.manual_seed(3)
    network = architecture.build(None).eval()
    for tensor in network.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) + 0.1 if tensor.is_floating_point() else torch.ones_like(tensor))
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth", network


@pytest.mark.parametrize("architecture", [VIT, RESNET, SWIN, ROPE], ids=lambda one: one.name)
@pytest.mark.parametrize("adapt", [UNCHANGED, dinov2_as_timm], ids=["unchanged", "dinov2"])
@torch.inference_mode()
def test_a_loaded_network_is_the_one_that_was_saved(architecture: TimmModel, adapt, tmp_path: Path):
    path, saved = filled_file(architecture, tmp_path)
    side = 32 if architecture in (VIT, ROPE) else 224
    loaded = load_network("net", architecture, LocalWeights(path), adapt)
    pixels = torch.rand(2, 3, side, side)
    assert torch.equal(loaded(pixels), saved(pixels))
    tensors = dict([*loaded.named_parameters(), *loaded.named_buffers()])
    assert {str(tensor.device) for tensor in tensors.values()} == {"cpu"}
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


def test_what_has_tensors_beside_its_weights_is_built_with_its_numbers(tmp_path: Path):
    where = {
        one.name: {parameter.device.type for parameter in built_to_fill(one, tmp_path, UNCHANGED).parameters()}
        for one in (VIT, RESNET, SWIN, ROPE)
    }
    assert where == {VIT.name: {"meta"}, RESNET.name: {"meta"}, SWIN.name: {"cpu"}, ROPE.name: {"cpu"}}


def test_what_a_user_makes_of_a_checkpoint_may_take_numbers_of_the_network(tmp_path: Path):
    def completed(checkpoint, network):
        return {**network, **checkpoint}

    path, _ = filled_file(RESNET, tmp_path)
    part = {name: tensor for name, tensor in torch.load(path).items() if name != "bn1.weight"}
    torch.save(part, path)
    loaded = load_network("net", RESNET, LocalWeights(path), completed)
    assert torch.equal(loaded.bn1.weight, torch.ones(64))
    with pytest.raises(WrongWeights, match=r"missing bn1\.weight"):
        load_network("net", RESNET, LocalWeights(path), UNCHANGED)


def test_networks_of_users_are_built_as_their_code_says(tmp_path: Path):
    built = built_to_fill(Built(lambda: torch.nn.Linear(2, 3)), tmp_path, UNCHANGED)
    assert not any(parameter.is_meta for parameter in built.parameters())


@pytest.mark.parametrize("name", ["uni_v1", "uni_v2", "virchow_v2", "h_optimus_0", "gigapath"])
def test_large_networks_draw_no_numbers(name: str, tmp_path: Path):
    declared = find_patch_encoder(name)
    assert next(built_to_fill(declared.architecture, tmp_path, declared.adapt).parameters()).is_meta
