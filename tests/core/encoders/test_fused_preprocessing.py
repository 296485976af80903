"""Preprocessing is fused where the patches to come pay for it, and gives the input that it gave."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from exact_encoders import SMALLER, Digest, exact_encoder, patches
from recording_device import RecordingDevice

from atlaspatch_core.encoders.declaration import Transform
from atlaspatch_core.encoders.fused_preprocessing import (
    FUSED,
    ROUNDING,
    Fused,
    fused_preprocessing,
    optimized_preprocessing,
)
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.encoders.preprocessing import preprocess

CPU = torch.device("cpu")
TRANSFORM = Transform(40, 32, "bilinear", (0.3, 0.5, 0.7), (0.2, 0.3, 0.4))


def noise(count: int, height: int, width: int) -> torch.Tensor:
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.skipif(not shutil.which("g++"), reason="on a CPU inductor needs a C++ compiler")
@torch.inference_mode()
def test_what_inductor_fuses_differs_in_the_last_bit_at_most():
    fused = Fused(TRANSFORM, noise(6, 80, 96))
    for count, height, width in [(6, 80, 96), (5, 80, 96), (1, 80, 96), (2, 96, 80)]:
        pixels = noise(count, height, width)
        expected, found = preprocess(pixels, TRANSFORM), fused(pixels)
        assert float((found - expected).abs().max()) <= ROUNDING * float(expected.abs().max())
        assert found.stride() == expected.stride()


def test_what_cannot_be_fused_is_preprocessed_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path))
    step, pixels = fused_preprocessing(TRANSFORM, CPU), noise(4, 20, 20)
    step.plain = torch.clone  # patches that are smaller than the crop would be refused
    step.expect(10**12)
    assert torch.equal(step(pixels), pixels)
    assert (step.optimized, step.speedup.times_as_fast) == (None, 0.0)


def test_a_cpu_and_plain_resizing_are_left_alone():
    assert optimized_preprocessing(TRANSFORM, CPU) is None
    assert optimized_preprocessing(None, torch.device("cuda")) is None
    assert optimized_preprocessing(replace(TRANSFORM, antialias=False), torch.device("cuda")) is None
    assert not FUSED.pays(10_000, 2e-5), "a slide or two do not pay for what a compiler takes"


class Counting:
    """Preprocesses as usual, and notes what it was told and given."""

    def __init__(self) -> None:
        self.expected, self.counts = 0, []

    def expect(self, patches: int) -> None:
        self.expected = patches

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.counts.append(len(pixels))
        return preprocess(pixels, SMALLER)


def test_a_batch_passes_once_through_the_preprocessing_of_encoders_that_share_it():
    plain, step, given = exact_encoder(Digest, 0, SMALLER), Counting(), patches(12, 6)
    tuned, other = replace(plain, preprocess=step), exact_encoder(Digest, 1, SMALLER)
    tuned.expect(100)
    assert step.expected == 100
    expected = plain.encode(given)
    assert np.array_equal(tuned.encode(given), expected)
    found = PatchEncoders([tuned, other], RecordingDevice()).encode(given)
    assert np.array_equal(found[0], expected)
    assert np.array_equal(found[1], other.encode(given))
    assert step.counts == [12, 12]
