import sys
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from streaming import encode_batches

from atlaspatch_core.encoders.extractor import Registry
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.loading import load_patch_encoder, load_slide_encoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.plugins import load_plugins
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import InvalidProject, UnknownName, WrongWeights

pytestmark = pytest.mark.quick

OWN_WAY = """
    import numpy as np
    from atlaspatch_core.encoders.architecture import Built
    from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
    from atlaspatch_core.encoders.weights import BuiltIn

    def network():
        import torch

        class MeanColour(torch.nn.Module):
            def forward(self, pixels):
                return pixels.mean(dim=(2, 3))

        return MeanColour()

    def largest(network, features, coords, patch_size_level0):
        return features.max(axis=0)

    UNIT = Transform(None, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    PATCH_ENCODERS = [
        PatchEncoder(name="{name}", architecture=Built(network), source=BuiltIn(), dim=3, transform=UNIT, license="MIT")
    ]
    SLIDE_ENCODERS = [SlideEncoder(name="max-{name}", patch_encoder="{name}", dim=3, forward=largest, license="MIT")]
"""

HOOK = """
    import numpy as np

    class Brightness:
        name = "brightness"
        embedding_dim = {dim}

        def extract_batch(self, patches, *, batch_size):
            assert len(patches) == batch_size and patches[0].dtype == np.uint8 and patches[0].shape[2] == 3
            return np.stack([[patch.min(), patch.max()] for patch in patches]).astype(np.float32)

        def cleanup(self):
            open({marker!r}, "w").close()

    def register_feature_extractors(registry, device, dtype, num_workers):
        assert (str(device), str(dtype), num_workers) == ("cpu", "torch.float32", 2)
        registry.register("Brightness", Brightness)
"""


def write(path: Path, text: str, **values: object) -> Path:
    path.write_text(dedent(text).format(**values) if values else dedent(text))
    return path


def patches(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_declared_encoders_of_a_plugin_are_found_and_run(tmp_path: Path):
    plugins = load_plugins([write(tmp_path / "own.py", OWN_WAY, name="colour")])
    given = patches(4)
    loaded = load_patch_encoder(find_patch_encoder("Colour", plugins=plugins))
    features = encode_batches([given], [loaded])["colour"]
    assert np.allclose(features, given.mean(axis=(1, 2)) / 255, atol=1e-6)
    slide = load_slide_encoder(find_slide_encoder("max-colour", plugins=plugins))
    assert np.array_equal(encode_slide(slide, features, np.zeros((4, 2), int), 8), features.max(axis=0))
    assert find_slide_encoder("mean-colour", plugins=plugins).patch_encoder == "colour"


def test_the_hash_of_the_plugin_is_in_the_specs_of_its_encoders(tmp_path: Path):
    path = write(tmp_path / "own.py", OWN_WAY, name="colour")
    plugins = load_plugins([path])
    digest = sha256(path.read_bytes()).hexdigest()
    assert plugins.patch["colour"].spec()["plugin"] == digest
    assert plugins.slide["max-colour"].spec()["plugin"] == digest


def test_the_hook_of_atlaspatch_is_honoured(tmp_path: Path):
    marker = tmp_path / "cleaned"
    path = write(tmp_path / "hook.py", HOOK, dim=2, marker=str(marker))
    plugins = load_plugins([path], num_workers=2)
    loaded = load_patch_encoder(find_patch_encoder("brightness", plugins=plugins))
    given = patches(5)
    features = encode_batches([given[:3], given[3:]], [loaded])["brightness"]
    assert np.array_equal(features[:, 1], given.max(axis=(1, 2, 3)).astype(np.float32))
    assert loaded.encode(given[:0]).shape == (0, 2)
    loaded.close()
    assert marker.exists()
    assert plugins.patch["brightness"].spec()["plugin"] == sha256(path.read_bytes()).hexdigest()


def test_an_extractor_that_gives_another_dim_than_it_says_is_refused(tmp_path: Path):
    path = write(tmp_path / "hook.py", HOOK, dim=7, marker="")
    loaded = load_patch_encoder(load_plugins([path], num_workers=2).patch["brightness"])
    with pytest.raises(WrongWeights, match=r"brightness: gave shape \(1, 2\), not \(1, 7\)"):
        loaded.encode(patches(1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", r"has none of PATCH_ENCODERS, SLIDE_ENCODERS, .* and no register_feature_extractors\(\); add one"),
        ("import no_such_module", "fails when it is loaded: ModuleNotFoundError"),
        ("this is no python", "fails when it is loaded: SyntaxError"),
        ("PATCH_ENCODERS = [3]", "declares 3, which is no PatchEncoder or SlideEncoder"),
        ("def register_feature_extractors(registry): pass", r"fails in register_feature_extractors\(\): TypeError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_named_in_one_sentence(tmp_path: Path, text: str, said: str):
    with pytest.raises(InvalidProject, match=rf"the plugin .*odd\.py {said}"):
        load_plugins([write(tmp_path / "odd.py", text)])


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InvalidProject, match=r"gone\.py cannot be read: No such file or directory"):
        load_plugins([tmp_path / "gone.py"])


def test_a_name_that_is_taken_is_refused(tmp_path: Path):
    built_in = write(tmp_path / "a.py", OWN_WAY, name="efficientnet_lite0")
    first, second = (write(tmp_path / f"{name}.py", OWN_WAY, name="colour") for name in "bc")
    with pytest.raises(InvalidProject, match="declares efficientnet_lite0, and there is an encoder of that name"):
        load_plugins([built_in])
    with pytest.raises(InvalidProject, match=r"c\.py declares colour, and there is"):
        load_plugins([first, second])


def test_a_registry_lists_and_creates_by_name_in_any_case():
    registry = Registry()
    registry.register("B", lambda: "b")  # pyright: ignore[reportArgumentType]
    registry.register("a", lambda: "a")  # pyright: ignore[reportArgumentType]
    assert registry.available() == ["a", "b"]
    assert registry.create_many(["A", "b"]) == ["a", "b"]
    assert set(registry.as_mapping()) == {"a", "b"}
    with pytest.raises(InvalidProject, match="registers b twice"):
        registry.register("b", lambda: "c")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownName, match="no plugin registers c; registered: a, b"):
        registry.create("c")


WITH_HELPER = """
    import torch
    import torchvision.transforms.functional as F
    from atlas_patch.models.patch.custom import CustomEncoderComponents, register_custom_encoder

    class Pooled(torch.nn.Module):
        def forward(self, pixels):
            return torch.nn.functional.adaptive_avg_pool2d(pixels, 2)

    def load(device, dtype):
        return CustomEncoderComponents(model=Pooled().to(device, dtype), preprocess=F.to_tensor{forward})

    def register_feature_extractors(registry, device, dtype, num_workers):
        register_custom_encoder(
            registry=registry, name="Pooled", embedding_dim=12, loader=load, device=device, dtype=dtype,
            num_workers=num_workers,
        )
"""


@pytest.mark.parametrize(
    "forward", ["", ", forward_fn=lambda batch: Pooled()(batch)", ", forward_fn=lambda model, batch: model(batch)"]
)
def test_a_plugin_for_atlaspatch_may_use_its_helper_module(tmp_path: Path, forward: str):
    path = tmp_path / "custom.py"
    path.write_text(dedent(WITH_HELPER.format(forward=forward)))
    plugins = load_plugins([path])
    loaded = load_patch_encoder(find_patch_encoder("pooled", plugins=plugins), precision="float32")
    patches = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = patches.reshape(3, 2, 4, 2, 4, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(3, 12) / 255
    np.testing.assert_allclose(loaded.encode(patches), expected, atol=1e-6)
    assert not any(name.startswith("atlas_patch") for name in sys.modules)
