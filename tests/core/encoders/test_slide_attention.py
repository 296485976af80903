"""Slide encoders that pool by attention say so, and what they say is what their embedding is made by."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import ROOT

from atlaspatch_core.encoders.inference import encode_slide, slide_attention
from atlaspatch_core.encoders.loading import load_slide_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.encoders.slide.attention import AttentionPool
from atlaspatch_core.errors import NotFinite, WrongWeights

pytestmark = pytest.mark.quick

FEATURES = np.random.default_rng(1).normal(size=(9, 768)).astype(np.float32)
COORDS = np.arange(18, dtype=np.int64).reshape(9, 2)


@pytest.fixture(scope="module")
def chief(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("weights") / "chief.pth"
    torch.manual_seed(2)
    layers = {"attention_net.0": (512, 768), "attention_net.3.attention_a.0": (256, 512)}
    layers |= {"attention_net.3.attention_b.0": (256, 512), "attention_net.3.attention_c": (1, 256)}
    state = {f"{name}.weight": torch.randn(shape) * 0.1 for name, shape in layers.items()}
    torch.save(state | {f"{name}.bias": torch.randn(shape[0]) for name, shape in layers.items()}, path)
    return load_slide_encoder(find_slide_encoder("chief", {"chief": path}), device="cpu")


def test_all_that_pool_by_attention_tell_it_and_no_fingerprint_knows():
    pooling = [it for it in SLIDE_ENCODERS.values() if isinstance(it.architecture, AttentionPool)]
    assert {"chief", "feather", "feather_uni_v2"} <= {encoder.name for encoder in pooling}
    for encoder in (*pooling, find_slide_encoder("abmil-uni_v1")):
        assert encoder.attention is not None
    chosen = SLIDE_ENCODERS["feather"]
    assert replace(chosen, attention=None).spec() == chosen.spec()


def test_the_page_names_those_that_tell_it_and_no_others():
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    [line] = [part for part in page.split("\n- ") if part.startswith("Encoders that tell it")]
    words = re.findall(r"`([a-z][\w]*)`", line)
    for name, encoder in SLIDE_ENCODERS.items():
        assert any(name.startswith(word) for word in words) == (encoder.attention is not None), name


def test_the_embedding_of_chief_is_the_mean_of_the_features_by_its_attention(chief):
    weights = slide_attention(chief, FEATURES, COORDS, 256)
    assert (weights.shape, weights.dtype) == ((9,), np.float32)
    assert np.ptp(weights) > 0.01
    np.testing.assert_allclose(weights @ FEATURES, encode_slide(chief, FEATURES, COORDS, 256), atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "error", "why"),
    [
        (np.ones(8), WrongWeights, r"chief: gave attention of shape \(8,\) to 9 patches"),
        (np.ones((9, 2, 2)), WrongWeights, r"chief: gave attention of shape \(9, 2, 2\) to 9 patches"),
        (np.full(9, np.nan), NotFinite, "chief: gave NaN or infinite attention"),
    ],
)
def test_what_is_no_attention_is_refused(chief, weights, error, why):
    other = replace(chief, encoder=replace(chief.encoder, attention=lambda *_: weights))
    with pytest.raises(error, match=why):
        slide_attention(other, FEATURES, COORDS, 256)
