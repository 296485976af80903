"""COBRA II: Mamba-2 in plain torch against that of transformers, and the whole network against one written out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from atlaspatch_core.encoders.inference import encode_slide, slide_attention
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.encoders.slide.cobra import COBRA
from atlaspatch_core.encoders.slide.networks.mamba import Mamba2, scan
from atlaspatch_core.errors import MissingWeights, WrongWeights

pytestmark = pytest.mark.quick

WIDTHS = {512: "cobra2_conch_v1", 1024: "cobra2_uni_v1", 1280: "cobra2_virchow_v2", 1536: "cobra2_h_optimus_0"}


def seeded(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.uniform_(0.1, 1.5) if name.endswith("A_log") else parameter.normal_(0, 0.2)
    return network.eval()


def mixer_of_transformers(width: int, state: int) -> torch.nn.Module:
    """Return the layer of Mamba-2 of transformers with the defaults of mamba_ssm."""
    mamba2 = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    config = pytest.importorskip("transformers").Mamba2Config(
        hidden_size=width,
        state_size=state,
        expand=2,
        head_dim=64,
        num_heads=2 * width // 64,
        n_groups=1,
        conv_kernel=4,
        chunk_size=64,
        use_bias=False,
        use_conv_bias=True,
        layer_norm_epsilon=1e-5,
        num_hidden_layers=1,
        vocab_size=2,
    )
    return mamba2.Mamba2Mixer(config, layer_idx=0)


def test_scan_gives_what_the_recurrence_gives_patch_by_patch():
    torch.manual_seed(1)
    values, decays = torch.randn(1, 600, 3, 5).double(), -torch.rand(1, 600, 3).double()
    keys, queries = torch.randn(2, 1, 600, 4).double()
    state, expected = torch.zeros(1, 3, 5, 4).double(), []
    for row in range(600):
        added = torch.einsum("bhp,bs->bhps", values[:, row], keys[:, row])
        state = state * decays[:, row].exp()[..., None, None] + added
        expected.append(torch.einsum("bhps,bs->bhp", state, queries[:, row]))
    torch.testing.assert_close(scan(values, decays, keys, queries), torch.stack(expected, dim=1))


@pytest.mark.parametrize("count", [1, 3, 300])
def test_a_layer_has_the_tensors_and_the_numbers_of_the_one_of_transformers(count: int):
    theirs, ours = seeded(mixer_of_transformers(64, 16)), Mamba2(64, 16).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    patches = torch.randn(1, count, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(patches), theirs(patches), atol=1e-4, rtol=1e-4)


class PublishedCobra(torch.nn.Module):
    """COBRA II as its makers publish it: names, order and sizes of layers; Mamba-2 is that of transformers."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.embed = nn.ModuleDict()
        for width in WIDTHS:
            layers = [nn.LayerNorm(width), nn.Linear(width, 768), nn.Dropout(0.2), nn.SiLU(), nn.Linear(768, 768)]
            self.embed[str(width)] = nn.ModuleDict({"head": nn.Sequential(*layers)})
        self.norm = nn.LayerNorm(768)
        self.mamba_enc = nn.ModuleDict(
            {
                "_fc1": nn.Sequential(nn.Linear(768, 768), nn.GELU(), nn.Dropout(0.2)),
                "norm": nn.LayerNorm(768),
                "layers": nn.ModuleList([nn.Sequential(nn.LayerNorm(768), mixer_of_transformers(768, 128))]),
                "classifier": nn.Linear(768, 768),
            }
        )
        heads = [{"a": nn.Tanh(), "b": nn.Sigmoid()} for _ in range(4)]
        self.attn = nn.ModuleList()
        for head in heads:
            parts = {f"attention_{name}": nn.Sequential(nn.Linear(192, 256), last) for name, last in head.items()}
            self.attn.append(nn.ModuleDict(parts | {"attention_c": nn.Linear(256, 1)}))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the embedding (d,) from features (n, d)."""
        hidden = self.embed[str(features.shape[-1])]["head"](features[None])
        hidden = self.mamba_enc["_fc1"](hidden)
        before, mixer = self.mamba_enc["layers"][0]
        hidden = mixer(before(hidden)) + hidden
        hidden = self.norm(self.mamba_enc["classifier"](hidden))
        scores = []
        for index, head in enumerate(self.attn):
            share = hidden[0, :, index::4]  # numbers that lie side by side are of different heads
            scores.append(head["attention_c"](head["attention_a"](share) * head["attention_b"](share))[:, 0])
        return torch.stack(scores).mean(dim=0).softmax(dim=0) @ features


@pytest.fixture(scope="module")
def published() -> PublishedCobra:
    network = seeded(PublishedCobra())
    assert isinstance(network, PublishedCobra)
    return network


@pytest.fixture(scope="module")
def checkpoint(published: PublishedCobra, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file as it is on the hub: what learnt, and its teacher, each with a head that pretraining needed."""
    state = {"module.base_enc.norm.weight": torch.zeros(768), "module.predictor.0.weight": torch.zeros(256)}
    state |= {f"module.momentum_enc.{name}": tensor for name, tensor in published.state_dict().items()}
    state |= {"module.momentum_enc.proj.1.weight": torch.zeros(3072, 768)}
    path = tmp_path_factory.mktemp("cobra") / "cobraII.pth.tar"
    torch.save({"epoch": 2000, "state_dict": state}, path)
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_the_published_checkpoint_averages_the_features_of_each_patch_encoder(
    width: int, published: PublishedCobra, checkpoint: Path
):
    name, count = WIDTHS[width], 270
    torch.manual_seed(2)
    features = torch.randn(count, width)
    loaded = load_slide_encoder(find_slide_encoder(name, {name: checkpoint}))
    given = features.numpy(), np.zeros((count, 2), np.int64), 448
    with torch.inference_mode():
        np.testing.assert_allclose(encode_slide(loaded, *given), published(features).numpy(), atol=1e-4)
    attention = slide_attention(loaded, *given)
    assert attention.sum() == pytest.approx(1)
    assert attention.std() * count > 1e-2


def test_a_bare_state_dict_is_taken_too_and_another_network_is_refused(published: PublishedCobra, tmp_path: Path):
    state = published.state_dict()
    torch.save(state, tmp_path / "bare.pt")
    loaded = load_slide_encoder(find_slide_encoder("cobra2_uni_v1", {"cobra2_uni_v1": tmp_path / "bare.pt"}))
    assert sum(tensor.numel() for tensor in loaded.network.parameters()) == 11_063_116
    assert sum(map(torch.numel, state.values())) == 11_063_116
    state = {name: tensor for name, tensor in state.items() if not name.startswith("embed.512")}
    torch.save(state | {"embed.768.head.0.bias": torch.zeros(768)}, tmp_path / "first.pt")
    problem = r"missing embed.512.head.0.weight, .*unexpected embed.768.head.0.bias"
    with pytest.raises(WrongWeights, match=f"cobra2_uni_v1: the checkpoint is of another network: {problem}"):
        load_slide_encoder(find_slide_encoder("cobra2_uni_v1", {"cobra2_uni_v1": tmp_path / "first.pt"}))


def test_each_takes_the_features_of_a_patch_encoder_of_its_width(monkeypatch: pytest.MonkeyPatch):
    assert {encoder.dim: encoder.name for encoder in COBRA} == WIDTHS
    assert all(find_patch_encoder(encoder.patch_encoder).dim == encoder.dim for encoder in COBRA)
    monkeypatch.setenv("ATLASPATCH_OFFLINE", "1")
    with pytest.raises(MissingWeights, match=r"cobra2_uni_v1: no weights from https://huggingface.co/KatherLab/COBRA"):
        load_slide_encoder(find_slide_encoder("cobra2_uni_v1"))
