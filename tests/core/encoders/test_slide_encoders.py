"""Slide encoders: what they declare, what they are given, and that published checkpoints fit."""

import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import timm
import torch
from painting import paint_slide, stain, white
from remote_folders import remote_folder, write
from safetensors.torch import save_file

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.encoders.inference import checked, encode_slide
from atlaspatch_core.encoders.loaded import LoadedSlideEncoder
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.patient import FOR_CASES, find_patient_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, UNRELEASED, find_slide_encoder
from atlaspatch_core.encoders.slide.networks.attention import Attention, AttentionPooling
from atlaspatch_core.errors import (
    GeometryMismatch,
    MissingExtra,
    MissingWeights,
    NotFinite,
    RemoteCodeNotAllowed,
    UnknownName,
    WrongWeights,
)
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

MADE_FOR = {
    "titan": ("conch_v15", 512, 20, 768),
    "prism": ("virchow_v1", 224, 20, 1280),
    "moozy": ("lunit_vit_small_patch8_dino", 224, 20, 768),
    "gigapath": ("prov_gigapath", 256, 20, 768),
    "chief": ("chief-ctranspath", 256, 10, 768),
    "madeleine": ("conch_v1", 256, 10, 512),
    "prism2": ("virchow_v2_cls", 224, 20, 2560),
    "prism2_diagnostic": ("virchow_v2_cls", 224, 20, 3072),
    "gigapath-flash-slide": ("gigapath-flash", 256, 20, 384),
    "cobra2_conch_v1": ("conch_v1", 224, None, 512),
    "cobra2_uni_v1": ("uni_v1", 224, None, 1024),
    "cobra2_virchow_v2": ("virchow_v2_cls", 224, None, 1280),
    "cobra2_h_optimus_0": ("h_optimus_0", 224, None, 1536),
    "tangle_v2": ("uni_v1", None, 20, 512),
    "feather": ("conch_v15", 512, 20, 512),
    "feather_uni": ("uni_v1", 256, 20, 512),
    "feather_uni_v2": ("uni_v2", 256, 20, 512),
    "care": ("conch_v15", 512, 20, 512),
    "eagle": ("ctranspath-original", 224, 5, 1280),
}
"""Patch encoder, patch size in px, magnification, dim."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ATLASPATCH_OFFLINE", "1")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages that a test writes; they can be imported."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("moozy", "gigapath", "madeleine")]:
        del sys.modules[name]


def bag(width: int, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, width) and coords (n, 2) of patches that are 1000 px apart at level 0."""
    features = np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)
    return features, np.array([[2000 + 1000 * (i % 3), 5000 + 1000 * (i // 3)] for i in range(count)], np.int64)


def embed(loaded: LoadedSlideEncoder, width: int, count: int = 7) -> np.ndarray:
    features, coords = bag(width, count)
    return encode_slide(loaded, features, coords, 1000)


def random_like(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=chance) * 0.2 for name, shape in shapes.items()}


def linear(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


# ---- what is declared ------------------------------------------------------------------------------------------------


def test_the_table_says_what_each_slide_encoder_was_made_for():
    declared = {
        name: (encoder.patch_encoder, encoder.patch_size, encoder.magnification, encoder.dim)
        for name, encoder in SLIDE_ENCODERS.items()
        if not name.startswith("mean-")
    }
    assert declared == MADE_FOR
    assert all(encoder.homepage and encoder.license and encoder.note for encoder in SLIDE_ENCODERS.values())


def test_every_patch_encoder_that_a_slide_encoder_needs_is_there_by_that_name():
    needed = {name for encoder in SLIDE_ENCODERS.values() for name in encoder.patch_encoders}
    assert needed <= PATCH_ENCODERS.keys()


def test_every_patch_encoder_has_a_mean():
    assert {f"mean-{name}" for name in PATCH_ENCODERS} <= SLIDE_ENCODERS.keys()


def test_threads_is_listed_as_unreleased_and_asking_for_it_says_so():
    assert UNRELEASED["threads"].note.startswith("Announced")
    with pytest.raises(UnknownName, match=r"threads: announced .* not released yet; use titan"):
        find_slide_encoder("threads")


def test_abmil_alone_asks_whose_features():
    with pytest.raises(UnknownName, match="abmil-uni_v1"):
        find_slide_encoder("abmil")


@pytest.mark.parametrize("name", ["chief", "abmil-efficientnet_lite0", "titan"])
def test_weights_that_are_not_there_are_one_sentence_with_the_cure(name: str):
    places = rf"--patch-encoder-ckpt-path {name}=PATH, or \[weights\] {name} in the project file"
    with pytest.raises(MissingWeights, match=rf"^{name}: .*name .*: {places}$"):
        load_slide_encoder(find_slide_encoder(name))


# ---- geometry --------------------------------------------------------------------------------------------------------


def recipe(*slide_encoders: str, **geometry):
    values = {"patch_size": 512, "target_mag": 20, "slide_encoders": slide_encoders} | geometry
    allowed = ["titan", "care", "conch_v15"]
    return make_recipe(make_project({"geometry": [values], "allow_remote_code": allowed}, origin="test"))


def test_slide_encoders_of_one_geometry_share_a_run_and_their_patch_features():
    steps = [str(stage.step) for stage in recipe("feather", "titan", "care").stages]
    assert steps.count("patch_features/conch_v15") == 1
    assert steps[-3:] == ["slide_embedding/feather", "slide_embedding/titan", "slide_embedding/care"]


def test_slide_encoders_of_two_patch_sizes_clash_by_name():
    with pytest.raises(GeometryMismatch, match=r"\(feather needs 512, gigapath needs 256\); give each a run"):
        recipe("feather", "gigapath")


def test_slide_encoders_of_two_magnifications_clash_by_name():
    with pytest.raises(GeometryMismatch, match=r"20x does not .* \(gigapath needs 20x, chief needs 10x\); give each"):
        recipe("gigapath", "chief", patch_size=256)


def test_a_slide_encoder_at_another_magnification_is_refused_with_both_numbers():
    with pytest.raises(GeometryMismatch, match=r"magnification 10x does not suit .*feather needs 20x\); take patch"):
        recipe("feather", target_mag=10)


def test_a_magnification_stated_in_mpp_is_the_same():
    assert recipe("feather", target_mag=None, target_mpp=0.5).stages
    assert recipe("mean-efficientnet_lite0", patch_size=100, target_mag=7).stages


# ---- attention pooling, built here -----------------------------------------------------------------------------------

FEATHER_KEYS = {
    **linear("model.patch_embed.0", 768, 512),
    **linear("model.global_attn.attention_a.0", 512, 384),
    **linear("model.global_attn.attention_b.0", 512, 384),
    **linear("model.global_attn.attention_c", 384, 1),
    **linear("model.classifier", 512, 108),
}
CHIEF_KEYS = {
    "organ_embedding": (19, 768),
    **linear("attention_net.0", 768, 512),
    **linear("attention_net.3.attention_a.0", 512, 256),
    **linear("attention_net.3.attention_b.0", 512, 256),
    **linear("attention_net.3.attention_c", 256, 1),
    **linear("classifiers", 512, 2),
    **linear("text_to_vision.0", 768, 512),
}


def gated(state: dict[str, torch.Tensor], embed: str, attention: str, features: np.ndarray, *, embedded: bool = True):
    """Return pooling by gated attention, written out."""
    values = {name: tensor.double().numpy() for name, tensor in state.items()}

    def layer(name: str, given: np.ndarray) -> np.ndarray:
        return given @ values[f"{name}.weight"].T + values[f"{name}.bias"]

    hidden = np.maximum(layer(embed, features), 0)
    gate = 1 / (1 + np.exp(-layer(f"{attention}attention_b.0", hidden)))
    scores = layer(f"{attention}attention_c", np.tanh(layer(f"{attention}attention_a.0", hidden)) * gate)
    weights = np.exp(scores) / np.exp(scores).sum()
    return (weights * (hidden if embedded else features)).sum(axis=0)


def test_a_checkpoint_of_feather_loads_strictly_and_pools_by_gated_attention(tmp_path: Path):
    state = random_like(FEATHER_KEYS)
    save_file(state, tmp_path / "feather.safetensors")
    loaded = load_slide_encoder(find_slide_encoder("feather", {"feather": tmp_path / "feather.safetensors"}))
    expected = gated(state, "model.patch_embed.0", "model.global_attn.", bag(768)[0])
    assert sum(tensor.numel() for tensor in loaded.network.parameters()) == 788_097
    np.testing.assert_allclose(embed(loaded, 768), expected, atol=1e-5)


def test_a_checkpoint_of_chief_loads_and_pools_the_features_themselves(tmp_path: Path):
    state = random_like(CHIEF_KEYS)
    torch.save(state, tmp_path / "CHIEF_pretraining.pth")
    loaded = load_slide_encoder(find_slide_encoder("chief", {"chief": tmp_path / "CHIEF_pretraining.pth"}))
    expected = gated(state, "attention_net.0", "attention_net.3.", bag(768)[0], embedded=False)
    assert sum(tensor.numel() for tensor in loaded.network.parameters()) == 656_641
    np.testing.assert_allclose(embed(loaded, 768), expected, atol=1e-5)


def test_the_layers_of_feather_are_named_as_published():
    encoder = find_slide_encoder("feather_uni_v2")
    assert encoder.architecture is not None
    network = encoder.architecture.build(None)
    published = {name.removeprefix("model.") for name in FEATHER_KEYS if "classifier" not in name}
    assert set(network.state_dict()) == published
    assert sum(tensor.numel() for tensor in network.parameters()) == 1_181_313


def test_the_environment_folder_stands_in_for_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLASPATCH_WEIGHTS", str(tmp_path))
    save_file(random_like(FEATHER_KEYS), tmp_path / "feather.safetensors")
    assert embed(load_slide_encoder(find_slide_encoder("feather")), 768).shape == (512,)


def test_a_checkpoint_of_another_feather_is_refused_by_name_and_shape(tmp_path: Path):
    save_file(random_like(FEATHER_KEYS), tmp_path / "other.safetensors")
    with pytest.raises(WrongWeights, match=r"feather_uni_v2: .*patch_embed.0.weight \(512, 768\) for \(512, 1536\)"):
        load_slide_encoder(find_slide_encoder("feather_uni_v2", {"feather_uni_v2": tmp_path / "other.safetensors"}))


def test_attention_sums_to_one_and_does_not_depend_on_the_order_of_patches():
    torch.manual_seed(3)
    network = AttentionPooling(24, 16, 8).eval()
    features = torch.randn(1, 50, 24)
    shuffled = features[:, torch.randperm(50)]
    with torch.inference_mode():
        assert float(network.attention(features).sum()) == pytest.approx(1, abs=1e-6)
        torch.testing.assert_close(network(features), network(shuffled), atol=1e-6, rtol=0)
        assert float(Attention(24, 8, gated=False)(features).sum()) == pytest.approx(1, abs=1e-6)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path):
    state = random_like(FEATHER_KEYS)
    state["model.patch_embed.0.bias"][3] = torch.inf
    save_file(state, tmp_path / "feather.safetensors")
    loaded = load_slide_encoder(find_slide_encoder("feather", {"feather": tmp_path / "feather.safetensors"}))
    with pytest.raises(NotFinite, match="feather"):
        embed(loaded, 768)


# ---- attention pooling of the user's ---------------------------------------------------------------------------------

ONE_HEAD = {
    **linear("embed.0", 20, 12),
    **linear("attention_a.0", 12, 6),
    **linear("attention_b.0", 12, 6),
    **linear("attention_c", 6, 1),
}


def abmil(path: Path) -> LoadedSlideEncoder:
    name = "abmil-efficientnet_lite0"
    return load_slide_encoder(find_slide_encoder(name, {name: path}))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_trained_attention_pooling_is_as_wide_as_its_checkpoint(tmp_path: Path, suffix: str):
    state = random_like(ONE_HEAD)
    path = tmp_path / f"mine.{suffix}"
    whole = {f"model.{name}": tensor for name, tensor in state.items()} | random_like(
        linear("model.classifier.0", 12, 2)
    )
    save_file(whole, path) if suffix == "safetensors" else torch.save({"state_dict": whole}, path)
    np.testing.assert_allclose(embed(abmil(path), 20), gated(state, "embed.0", "", bag(20)[0]), atol=1e-5)


def test_a_slide_is_embedded_by_a_checkpoint_of_ones_own_and_anew_when_it_changes(tmp_path: Path):
    name = "abmil-timm-test_vit"
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", stain(white(512, 512), 0, 0, 512, 256)))
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "vit.pt")
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [name]}
    values = {
        "output": tmp_path / "out",
        "geometry": [geometry],
        "weights": {name: tmp_path / "mine.pt", "timm-test_vit": tmp_path / "vit.pt"},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    keys = linear("embed.0", 64, 12) | {key: shape for key, shape in ONE_HEAD.items() if not key.startswith("embed")}
    told = []
    for seed in (1, 2):
        state = random_like(keys, seed)
        torch.save(state, tmp_path / "mine.pt")
        *_, outcome = process([source], make_recipe(make_project(values, origin="test")))
        told.append((outcome.status.value, outcome.why.partition(" ")[0]))
        with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
            expected = gated(state, "embed.0", "", file["features/timm-test_vit"][()])
            np.testing.assert_allclose(file[f"slide_features/{name}"][()], expected, atol=1e-5)
    assert told == [("computed", "missing"), ("computed", "weights.sha256")]


def test_a_pooling_without_gate_is_one_too(tmp_path: Path):
    ungated = {name: shape for name, shape in ONE_HEAD.items() if "attention_b" not in name}
    torch.save(random_like(ungated), tmp_path / "mine.pt")
    assert embed(abmil(tmp_path / "mine.pt"), 20).shape == (12,)


def test_several_heads_between_two_layers_are_joined_to_the_width_of_the_features(tmp_path: Path):
    torch.manual_seed(0)
    before, after, join = torch.nn.Linear(20, 20), torch.nn.Linear(20, 20), torch.nn.Linear(40, 20)
    heads = [[torch.nn.Linear(20, 6), torch.nn.Linear(20, 6), torch.nn.Linear(6, 1)] for _ in range(2)]
    layers = torch.nn.ModuleList([before, *(layer for head in heads for layer in head), join, after])
    torch.save(layers.state_dict(), tmp_path / "mine.pt")
    gelu = torch.nn.functional.gelu
    with torch.inference_mode():
        patches = gelu(before(torch.from_numpy(bag(20)[0])))
        attention = [torch.softmax(c(torch.tanh(a(patches)) * torch.sigmoid(b(patches))), 0) for a, b, c in heads]
        seen = torch.cat([(weights * patches).sum(0) for weights in attention])
        expected = gelu(after(join(seen)))
    np.testing.assert_allclose(embed(abmil(tmp_path / "mine.pt"), 20), expected.numpy(), atol=1e-6)


def test_a_checkpoint_of_other_layers_is_told_which_are_expected(tmp_path: Path):
    torch.save(random_like(linear("a", 20, 12) | linear("b", 5, 3)), tmp_path / "mine.pt")
    with pytest.raises(WrongWeights, match=r"has the linear layers 20→12, 5→3; expected are Linear"):
        abmil(tmp_path / "mine.pt")


def test_a_checkpoint_with_a_normalisation_is_no_attention_pooling(tmp_path: Path):
    torch.save(random_like(ONE_HEAD | {"norm.weight": (12,), "norm.bias": (12,)}), tmp_path / "mine.pt")
    with pytest.raises(WrongWeights, match="a layer that is not linear, norm"):
        abmil(tmp_path / "mine.pt")


# ---- code beside the weights -----------------------------------------------------------------------------------------

TITAN_CODE = """
import torch
from transformers import PreTrainedModel
from .configuration import StubConfig

class Stub(PreTrainedModel):
    config_class = StubConfig

    def __init__(self, config):
        super().__init__(config)
        self.project = torch.nn.Linear(config.width, 768)

    def encode_slide_from_patch_features(self, patch_features, patch_coords, patch_size_lv0):
        assert patch_features.dtype == torch.float32 and patch_features.shape == (1, 7, 6)
        assert patch_coords.dtype == torch.int64 and patch_coords.shape == (1, 7, 2)
        assert type(patch_size_lv0) is int and not torch.is_grad_enabled()
        grid = (patch_coords - patch_coords.amin(1, keepdim=True)) // patch_size_lv0
        return self.project(patch_features).mean(1) + grid.sum()
"""
"""The calling convention of TITAN. It lacks ``post_init``, as networks written for transformers 4 may."""

PRISM_CODE = """
import torch
from transformers import PreTrainedModel
from .configuration import StubConfig

class Stub(PreTrainedModel):
    config_class = StubConfig

    def __init__(self, config):
        super().__init__(config)
        self.image_resampler = torch.nn.Linear(config.width, 1280)
        self.text_decoder = torch.nn.Linear(3, 3)

    def slide_representations(self, tile_embeddings):
        assert tile_embeddings.dtype == torch.float32 and tile_embeddings.shape == (1, 7, 6)
        return {"image_embedding": self.image_resampler(tile_embeddings).mean(1)}
"""

CARE_CODE = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from types import SimpleNamespace
from .configuration import StubConfig

class Stub(PreTrainedModel):
    config_class = StubConfig

    def __init__(self, config):
        super().__init__(config)
        self.project = torch.nn.Linear(config.width, 512)

    def forward(self, patch_embedding, count, coords):
        assert count.tolist() == [7.0] and coords.shape == (1, 7, 2) and coords.dtype == torch.int64
        assert coords[0].tolist() == [[2 + i % 3, 5 + i // 3] for i in range(7)]
        return SimpleNamespace(wsi_embedding=self.project(patch_embedding).mean(1), aux_loss=None)
"""


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATLASPATCH_ALLOW_REMOTE_CODE", "titan prism care")


def test_code_beside_the_weights_is_not_run_unasked(tmp_path: Path):
    folder = remote_folder(tmp_path / "titan_unasked", "raise SystemExit('run')", {"a": torch.zeros(1)})
    with pytest.raises(RemoteCodeNotAllowed, match=r"titan: .*allow_remote_code"):
        load_slide_encoder(find_slide_encoder("titan", {"titan": folder}))


def test_titan_is_given_level0_coords_and_the_patch_size(tmp_path: Path, allow: None):
    state = random_like(linear("project", 6, 768))
    folder = remote_folder(tmp_path / "titan_stub", TITAN_CODE, state)
    loaded = load_slide_encoder(find_slide_encoder("titan", {"titan": folder}))
    mean = bag(6)[0].mean(axis=0) @ state["project.weight"].numpy().T + state["project.bias"].numpy()
    grid = sum(i % 3 + i // 3 for i in range(7))
    np.testing.assert_allclose(embed(loaded, 6), mean + grid, atol=1e-4)
    assert loaded.precision == "float32"  # half precision on CUDA only


def test_the_code_and_the_weights_of_a_folder_are_part_of_its_identity(tmp_path: Path):
    state = random_like(linear("project", 6, 768))
    folder = remote_folder(tmp_path / "titan_identity", TITAN_CODE, state)
    before = find_slide_encoder("titan", {"titan": folder}).spec()
    write(folder, "modeling.py", TITAN_CODE + "# changed\n")
    assert find_slide_encoder("titan", {"titan": folder}).spec() != before


def test_a_folder_that_lacks_a_tensor_is_refused(tmp_path: Path, allow: None):
    folder = remote_folder(tmp_path / "titan_lacking", TITAN_CODE, random_like({"project.weight": (768, 6)}))
    with pytest.raises(WrongWeights, match=r"titan: .*missing project.bias"):
        load_slide_encoder(find_slide_encoder("titan", {"titan": folder}))


def test_code_that_imports_what_is_not_installed_is_one_sentence(tmp_path: Path, allow: None):
    folder = remote_folder(tmp_path / "titan_imports", "import surely_not_installed", {"a": torch.zeros(1)})
    with pytest.raises(MissingExtra, match=r"titan: .*surely_not_installed"):
        load_slide_encoder(find_slide_encoder("titan", {"titan": folder}))


def test_prism_is_given_features_alone_and_its_decoder_is_left_out(tmp_path: Path, allow: None):
    state = random_like(linear("image_resampler", 6, 1280) | {"text_decoder.anything": (4,)})
    folder = remote_folder(tmp_path / "prism_stub", PRISM_CODE, state)
    loaded = load_slide_encoder(find_slide_encoder("prism", {"prism": folder}))
    weight, bias = state["image_resampler.weight"].numpy(), state["image_resampler.bias"].numpy()
    np.testing.assert_allclose(embed(loaded, 6), bag(6)[0].mean(axis=0) @ weight.T + bias, atol=1e-5)
    assert loaded.network.text_decoder is None


def test_care_is_given_the_number_of_patches_and_columns_and_rows_of_the_grid(tmp_path: Path, allow: None):
    folder = remote_folder(tmp_path / "care_stub", CARE_CODE, random_like(linear("project", 6, 512)))
    assert embed(load_slide_encoder(find_slide_encoder("care", {"care": folder})), 6).shape == (512,)


def test_an_embedding_of_another_dim_is_refused(tmp_path: Path, allow: None):
    code = CARE_CODE.replace("512", "100")
    folder = remote_folder(tmp_path / "care_other", code, random_like(linear("project", 6, 100)))
    with pytest.raises(WrongWeights, match=r"care: gave an embedding of shape \(100,\), not \(512,\)"):
        embed(load_slide_encoder(find_slide_encoder("care", {"care": folder})), 6)


# ---- packages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("moozy", r"pip install moozy==0\.1\.1"),
        ("gigapath", r"pip install git\+https://github.com/prov-gigapath"),
        ("madeleine", r"pip install git\+https://github.com/mahmoodlab/MADELEINE"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_its_install(tmp_path: Path, name: str, install: str):
    folder = tmp_path / "weights"
    for file in ("model_config.json", "model.pt"):
        write(folder, file, "{}")
    weights = {"madeleine": folder, "gigapath": folder / "model.pt"}
    with pytest.raises(MissingExtra, match=rf"{name}: .*not installed; run: {install}"):
        load_slide_encoder(find_slide_encoder(name, weights))


GIGAPATH_CODE = """
import torch

class LongNet(torch.nn.Module):
    def __init__(self, width, global_pool):
        super().__init__()
        assert global_pool is True
        self.patch_embed = torch.nn.Linear(width, 768)

    def forward(self, x, coords, all_layer_embed=False):
        assert all_layer_embed and coords.dtype == torch.int64
        grid = torch.floor(coords / 256.0)
        assert grid[0].tolist() == [[2 + i % 3, 5 + i // 3] for i in range(7)]
        return [self.patch_embed(x).mean(1) * layer for layer in range(13)]

def create_model(pretrained, model_arch, in_chans, **more):
    assert (pretrained, model_arch, in_chans) == ("", "gigapath_slide_enc12l768d", 1536)
    return LongNet(in_chans, **more)
"""


def test_gigapath_gets_coords_as_of_256_px_patches_and_gives_its_eleventh_layer(packages: Path, tmp_path: Path):
    """Gigapath is given coords as of 256 px patches and its eleventh layer is taken."""
    write(packages, "gigapath/__init__.py", "")
    write(packages, "gigapath/slide_encoder.py", GIGAPATH_CODE)
    state = random_like(linear("patch_embed", 1536, 768))
    torch.save({"model": state | {"mask_token": torch.zeros(1)}}, tmp_path / "slide_encoder.pth")
    loaded = load_slide_encoder(find_slide_encoder("gigapath", {"gigapath": tmp_path / "slide_encoder.pth"}))
    mean = bag(1536)[0].mean(axis=0) @ state["patch_embed.weight"].numpy().T + state["patch_embed.bias"].numpy()
    np.testing.assert_allclose(embed(loaded, 1536), 11 * mean, atol=1e-3)


MADELEINE_CODE = """
import torch

def create_model(model_cfg, device, checkpoint_path=None):
    assert device == "cpu" and model_cfg.precision == "bfloat16"

    class Madeleine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(512, 512)

        def encode_he(self, feats, device):
            assert feats.shape == (1, 7, 512) and feats.device == torch.device(device)
            return self.layer(feats).mean(1, keepdim=True)

    model = Madeleine()
    model.load_state_dict(torch.load(checkpoint_path, weights_only=True))
    return model
"""


def test_madeleine_is_built_by_its_package_from_its_folder(packages: Path, tmp_path: Path):
    write(packages, "madeleine/__init__.py", "")
    write(packages, "madeleine/models/__init__.py", "")
    write(packages, "madeleine/models/Model.py", MADELEINE_CODE)
    state = random_like(linear("layer", 512, 512))
    folder = tmp_path / "weights"
    write(folder, "model_config.json", '{"precision": "bfloat16"}')
    torch.save(state, folder / "model.pt")
    loaded = load_slide_encoder(find_slide_encoder("madeleine", {"madeleine": folder}))
    mean = bag(512)[0].mean(axis=0) @ state["layer.weight"].numpy().T + state["layer.bias"].numpy()
    np.testing.assert_allclose(embed(loaded, 512), mean, atol=1e-5)


def test_madeleine_without_its_configuration_says_what_the_folder_needs(tmp_path: Path):
    with pytest.raises(WrongWeights, match=r"no folder with model_config.json and model.pt; get it from https"):
        load_slide_encoder(find_slide_encoder("madeleine", {"madeleine": tmp_path}))


MOOZY_CODE = """
import h5py
import numpy as np
import torch

def run_encoding(slide_paths, output_path, *, mixed_precision=False, target_mag=20, step_size=224, mpp_csv=None):
    assert not mixed_precision and not torch.is_inference_mode_enabled()
    total = np.zeros(768, np.float32)
    for path in slide_paths:
        with h5py.File(path) as file:
            assert file.attrs["patch_size"] == 224 and file["coords"].shape[1] == 2
            features = file["features/lunit_vit_small_patch8_dino"][()]
            assert len(features) == len(file["coords"])
            total[:384] += features.mean(axis=0)
            total[384:] += file.attrs["patch_size_level0"]
    with h5py.File(output_path, "w") as file:
        file["features"] = total
"""


def install_moozy(packages: Path, version: str = "0.1.1") -> None:
    write(packages, "moozy/__init__.py", "")
    write(packages, "moozy/encoding.py", MOOZY_CODE)
    write(packages, f"moozy-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: moozy\nVersion: {version}\n")


def test_moozy_is_given_a_file_in_the_layout_it_reads(packages: Path):
    install_moozy(packages)
    embedding = embed(load_slide_encoder(find_slide_encoder("moozy")), 384)
    np.testing.assert_allclose(embedding[:384], bag(384)[0].mean(axis=0), atol=1e-6)
    assert set(embedding[384:]) == {1000.0}


def test_moozy_is_given_every_slide_of_a_case(packages: Path):
    install_moozy(packages)
    loaded = load_slide_encoder(find_patient_encoder("moozy"))
    forward = FOR_CASES[loaded.encoder.forward]
    first, second = bag(384, 3), bag(384, 5)
    embedding = checked(loaded, loaded.run(forward, iter([(*first, 512), (*second, 500)])))
    expected = first[0].mean(axis=0) + second[0].mean(axis=0)
    np.testing.assert_allclose(embedding[:384], expected, atol=1e-6)
    assert set(embedding[384:]) == {1012.0}


def test_a_case_of_one_slide_has_the_embedding_of_the_slide(packages: Path):
    install_moozy(packages)
    for name in ("moozy", "mean-lunit_vit_small_patch8_dino"):
        loaded = load_slide_encoder(find_patient_encoder(name))
        of_case = checked(loaded, loaded.run(FOR_CASES[loaded.encoder.forward], [(*bag(384), 1000)]))
        np.testing.assert_array_equal(of_case, embed(loaded, 384))


def test_another_version_of_moozy_is_refused(packages: Path):
    install_moozy(packages, "0.2.0")
    with pytest.raises(MissingExtra, match=r"moozy 0.2.0 is installed, 0.1.1 is needed; run: pip install moozy==0.1.1"):
        load_slide_encoder(find_slide_encoder("moozy"))


def test_the_file_that_moozy_reads_leaves_nothing_behind(packages: Path, tmp_path: Path, monkeypatch):
    install_moozy(packages)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    embed(load_slide_encoder(find_slide_encoder("moozy")), 384)
    assert list((tmp_path / "temporary").iterdir()) == []
