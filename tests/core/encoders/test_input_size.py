"""Vision transformers at another size of their input."""

import numpy as np
import pytest
import torch

from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.input_size import with_input_size
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.errors import GeometryMismatch
from atlaspatch_core.validity.recipe import make_recipe


def test_a_transformer_sees_more_at_a_larger_input_and_is_another_encoder(tmp_path):
    own = find_patch_encoder("lunit_vit_small_patch16_dino")
    torch.manual_seed(0)
    torch.save(own.architecture.build(None).state_dict(), tmp_path / "weights.pt")
    own = find_patch_encoder("lunit_vit_small_patch16_dino", {own.name: tmp_path / "weights.pt"})
    large = with_input_size(own, 320)
    assert (large.transform.resize, large.transform.crop) == (320, 320)  # type: ignore[union-attr]
    assert large.spec() != own.spec()
    patches = np.random.default_rng(0).integers(0, 255, (2, 320, 320, 3), np.uint8)
    before, after = (load_patch_encoder(encoder).encode(patches) for encoder in (own, large))
    assert before.shape == after.shape == (2, 384)
    assert not np.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("name", ["uni_v1", "efficientnet_lite0", "conch_v15", "prov_gigapath"])
def test_its_own_size_changes_nothing(name):
    own = find_patch_encoder(name)
    side = own.transform.crop  # type: ignore[union-attr]
    assert with_input_size(own, side) is own
    assert with_input_size(own, None) is own


@pytest.mark.parametrize(
    ("name", "side", "complaint"),
    [
        ("uni_v1", 250, "uni_v1: an image of 250 px is no multiple of its 16 px; give 240 or 256"),
        ("prov_gigapath", 8, "prov_gigapath: an image of 8 px is no multiple of its 16 px; give 16"),
        ("virchow", 225, "virchow_v1: an image of 225 px is no multiple of its 14 px; give 224 or 238"),
        ("efficientnet_lite0", 256, "efficientnet_lite0: takes images of its own size only"),
        ("conch_v15", 512, "conch_v15: takes images of its own size only"),
    ],
)
def test_what_cannot_be_is_one_sentence(name, side, complaint):
    with pytest.raises(GeometryMismatch, match=complaint):
        with_input_size(find_patch_encoder(name), side)


def test_a_project_says_it_by_geometry_and_it_is_part_of_the_identity(tmp_path):
    def features_spec(**more):
        geometry = {"patch_size": 256, "target_mag": 20, "patch_encoders": ("uni_v1",)} | more
        recipe = make_recipe(make_project({"output": tmp_path, "geometry": (geometry,)}, origin="test"))
        return recipe.stages[-1].spec

    assert features_spec()["transform"]["crop"] == 224
    assert features_spec(input_size=448)["transform"]["crop"] == 448
    assert features_spec(precision="own")["precision"] == "float16"
    assert features_spec(precision="float32")["precision"] == "float32"
