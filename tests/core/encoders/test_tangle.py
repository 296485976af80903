"""TANGLE v2: attention by several heads, against the layers as their makers publish them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from atlaspatch_core.encoders.inference import encode_slide, slide_attention
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import MissingWeights, WrongWeights

pytestmark = pytest.mark.quick

COUNT = 30


class PublishedTangle(torch.nn.Module):
    """The slide's half of TANGLE v2: names, order and sizes of its layers."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        nn = torch.nn
        layers: list[nn.Module] = []
        for width, out in ((1024, 512), (512, 512), (512, 512 * heads)):
            layers += [nn.Linear(width, out), nn.LayerNorm(out), nn.GELU(), nn.Dropout(0.1)]
        self.pre_attn = nn.Sequential(*layers)
        self.attn = nn.ModuleList()
        for _ in range(heads):
            gates = {"a": nn.Tanh(), "b": nn.Sigmoid()}
            parts = {f"attention_{name}": nn.Sequential(nn.Linear(512, 512), last) for name, last in gates.items()}
            self.attn.append(nn.ModuleDict(parts | {"attention_c": nn.Linear(512, 1)}))
        self.proj_multihead = nn.Linear(512 * heads, 512)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embedding (512,) and the attention (n, heads) from features (n, 1024)."""
        embedded, pooled, weights = self.pre_attn(features), [], []
        for index, head in enumerate(self.attn):
            share = embedded[:, index :: len(self.attn)]
            score = head["attention_c"](head["attention_a"](share) * head["attention_b"](share))
            weights.append(score.softmax(dim=0))
            pooled.append((weights[-1] * share).sum(dim=0))
        return self.proj_multihead(torch.stack(pooled, dim=1).flatten()), torch.cat(weights, dim=1)


def published(heads: int = 4) -> PublishedTangle:
    torch.manual_seed(0)
    network = PublishedTangle(heads).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.2)
    return network


def write_checkpoint(path: Path, network: PublishedTangle) -> Path:
    """Write model.pt as it is published: in training it was split over devices, and had a half for genes."""
    state = {f"module.wsi_embedder.{name}": tensor for name, tensor in network.state_dict().items()}
    genes = {f"module.{name}.bias": torch.zeros(512) for name in ("rna_embedder.blocks.2", "mean_projector.layers")}
    torch.save(state | genes, path)
    return path


def test_the_published_checkpoint_pools_by_four_heads_and_tells_their_attention(tmp_path: Path):
    network, features = published(), torch.randn(COUNT, 1024)
    path = write_checkpoint(tmp_path / "model.pt", network)
    loaded = load_slide_encoder(find_slide_encoder("tangle", {"tangle_v2": path}))
    given = features.numpy(), np.zeros((COUNT, 2), np.int64), 512
    with torch.inference_mode():
        embedding, attention = network(features)
    np.testing.assert_allclose(encode_slide(loaded, *given), embedding.numpy(), atol=1e-4)
    np.testing.assert_allclose(slide_attention(loaded, *given), attention.numpy(), atol=1e-5)
    assert attention.std(dim=0).min() > 1e-3


def test_a_checkpoint_of_two_heads_or_of_the_first_tangle_is_refused(tmp_path: Path):
    path = write_checkpoint(tmp_path / "model.pt", published(heads=2))
    with pytest.raises(WrongWeights, match=r"tangle_v2: .*missing attn.2.attention_a.0.weight"):
        load_slide_encoder(find_slide_encoder("tangle_v2", {"tangle_v2": path}))


def test_without_its_checkpoint_it_says_where_that_lies():
    with pytest.raises(MissingWeights, match=r"tangle_v2: .*get model.pt from https://drive.google.com/\S+ and name"):
        load_slide_encoder(find_slide_encoder("tangle_v2"))
