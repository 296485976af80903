"""The slide encoder of GigaPath-Flash, by the package ``gigapath`` as its makers publish it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from remote_folders import write

from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import WrongWeights

pytestmark = pytest.mark.quick

PACKAGE = """
import numpy
import torch


class LongNet(torch.nn.Module):
    tile_size = 256

    def __init__(self, width, dim, global_pool):
        super().__init__()
        assert global_pool is True
        lengths = numpy.power(2, numpy.linspace(numpy.log2(1024), 20, 5)).astype(int)
        self.segment_length = eval(str(list(lengths)), {})
        self.patch_embed = torch.nn.Linear(width, dim)

    def forward(self, x, coords, all_layer_embed=False):
        grid = torch.floor(coords / self.tile_size)
        assert all_layer_embed and grid[0].tolist() == [[2, 5], [3, 5], [2, 6]]
        return [self.patch_embed(x).mean(1) * layer for layer in range(13)]


def create_model(pretrained, model_arch, in_chans, **more):
    dims = {"gigapath_slide_enc12l768d": 768, "gigapath_slide_enc12l384d": 384}
    return LongNet(in_chans, dims[model_arch], **more)
"""
"""How the package makes its network: NumPy's numbers become a text, which is evaluated without NumPy."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write(tmp_path / "packages", "gigapath/__init__.py", "")
    write(tmp_path / "packages", "gigapath/slide_encoder.py", PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "gigapath"]:
        del sys.modules[name]


def checkpoint(path: Path, width: int) -> torch.nn.Linear:
    torch.manual_seed(0)
    layer = torch.nn.Linear(width, 384)
    torch.save({"model": {f"patch_embed.{name}": tensor for name, tensor in layer.state_dict().items()}}, path)
    return layer


def test_it_takes_gigapath_flash_features_and_gives_384_numbers(package: None, tmp_path: Path):
    layer, features = checkpoint(tmp_path / "slide_encoder.pth", 384), torch.randn(3, 384)
    encoder = find_slide_encoder("gigapath_flash_slide", {"gigapath-flash-slide": tmp_path / "slide_encoder.pth"})
    assert (encoder.name, encoder.patch_encoder) == ("gigapath-flash-slide", "gigapath-flash")
    coords = np.array([[2000, 5000], [3000, 5000], [2000, 6000]], np.int64)
    embedding = encode_slide(load_slide_encoder(encoder), features.numpy(), coords, 1000)
    np.testing.assert_allclose(embedding, 11 * layer(features).mean(0).detach().numpy(), atol=1e-4)


def test_the_checkpoint_of_the_first_gigapath_is_refused(package: None, tmp_path: Path):
    checkpoint(tmp_path / "slide_encoder.pth", 1536)
    encoder = find_slide_encoder("gigapath-flash-slide", {"gigapath-flash-slide": tmp_path / "slide_encoder.pth"})
    with pytest.raises(WrongWeights, match=r"gigapath-flash-slide: .*weight \(384, 1536\) for \(384, 384\)"):
        load_slide_encoder(encoder)
