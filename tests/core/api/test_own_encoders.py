"""Modules of torch that a notebook has, as encoders of ``ap.encode``."""

import numpy as np
import pytest
import torch

import atlaspatch_core as ap
from atlaspatch_core.api import patches
from atlaspatch_core.errors import InvalidProject, UnknownName

SlideAndGrid = tuple[ap.OpenedSlide, ap.PatchGrid]
COLOUR = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


class Range(torch.nn.Module):
    def forward(self, features):
        return features.amax(0) - features.amin(0)


@pytest.fixture(scope="module")
def grid(bundled) -> SlideAndGrid:
    slide = ap.open_slide("CMU-1-Small-Region.svs")
    return slide, ap.lay_grid(slide, ap.segment(slide), patch_size=512, target_mag=20)


def test_a_module_encodes_patches_and_another_embeds_them(grid: SlideAndGrid):
    slide, places = grid
    colour = ap.PatchEncoder.from_module("colour", COLOUR, dim=3, image_size=None, mean=(0, 0, 0), std=(1, 1, 1))
    features = ap.encode(*grid, colour, device="cpu")
    expected = [np.mean(patch.pixels, axis=(0, 1)) / 255 for patch in patches(slide, places)]
    assert np.allclose(features, expected, atol=1e-5)

    spread = ap.SlideEncoder.from_module("spread", Range, patch_encoder="colour", dim=3)
    embedding = ap.encode(*grid, spread, features=features, device="cpu")
    assert np.array_equal(embedding, np.ptp(features, axis=0))
    with pytest.raises(
        UnknownName, match="spread: it takes features of colour, and no patch encoder is called so; give"
    ):
        ap.encode(*grid, spread, device="cpu")


@pytest.mark.e2e
def test_a_module_embeds_what_an_encoder_of_ours_makes_of_the_patches(grid: SlideAndGrid):
    spread = ap.SlideEncoder.from_module("spread", Range, patch_encoder="efficientnet_lite0", dim=1280)
    features = ap.encode(*grid, "efficientnet_lite0", device="cpu")
    assert np.array_equal(ap.encode(*grid, spread, device="cpu"), np.ptp(features, axis=0))


def test_a_module_that_was_trained_meanwhile_is_another_encoder(grid: SlideAndGrid):
    layer = torch.nn.Linear(3, 2)
    module = torch.nn.Sequential(*COLOUR, layer)
    before = ap.encode(*grid, ap.PatchEncoder.from_module("own", module, dim=2), device="cpu")
    with torch.no_grad():
        layer.bias.add_(1)
    after = ap.encode(*grid, ap.PatchEncoder.from_module("own", module, dim=2), device="cpu")
    assert np.allclose(after, before + 1, atol=1e-5)


def test_what_is_no_encoder_and_a_name_that_is_taken_are_refused(grid: SlideAndGrid):
    with pytest.raises(InvalidProject, match=r"ap.encode: a Sequential is no encoder; give a name, or what PatchEnc"):
        ap.encode(*grid, COLOUR)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidProject, match="the code declares uni_v1, and there is an encoder of that name"):
        ap.encode(*grid, ap.PatchEncoder.from_module("uni_v1", COLOUR, dim=3))
