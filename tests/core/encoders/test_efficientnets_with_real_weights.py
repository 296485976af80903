"""Three small encoders whose true weights are Python packages: a change of encoder is tried with them."""

from pathlib import Path

import numpy as np
import openslide
import pytest
from seeded_checkpoints import at

from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.errors import WrongWeights


@pytest.fixture
def patch(bundled_slide: Path) -> np.ndarray:
    with openslide.OpenSlide(bundled_slide) as slide:
        return np.asarray(slide.read_region((896, 1792), 0, (224, 224)).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "norm", "total"),
    [("efficientnet_lite1", 17.735329, 248.871765), ("efficientnet_lite2", 15.546389, 258.089813)],
)
def test_a_real_patch_has_the_vector_of_another_implementation(name: str, norm: float, total: float, patch: np.ndarray):
    """The numbers are those of the package efficientnet-lite-pytorch 0.1.0 with the same file of weights."""
    features = load_patch_encoder(find_patch_encoder(name)).encode(patch[None])
    assert features.shape == (1, 1280)
    assert np.linalg.norm(features) == pytest.approx(norm, rel=1e-5)
    assert features.sum() == pytest.approx(total, rel=1e-5)


def test_the_three_have_three_identities():
    encoders = [PATCH_ENCODERS[f"efficientnet_lite{size}"] for size in range(3)]
    assert len({encoder.spec()["weights"]["sha256"] for encoder in encoders}) == 3


def test_weights_of_another_size_are_refused():
    file = PATCH_ENCODERS["efficientnet_lite1"].source.find("efficientnet_lite1")
    assert file is not None
    with pytest.raises(WrongWeights, match="efficientnet_lite0: the checkpoint is of another network: missing"):
        load_patch_encoder(at(PATCH_ENCODERS["efficientnet_lite0"], file))
