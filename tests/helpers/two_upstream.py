"""A slide encoder that takes the features of two patch encoders, and a project that has it."""

from pathlib import Path

import numpy as np
from painting import paint_slide
from plugins import TINY_ENCODER, plugin_file

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource

OF_TWO = f"""
{TINY_ENCODER}
from atlaspatch_core.encoders.declaration import SlideEncoder


def of_brightest(network, features, coords, patch_size_level0):
    by_colour, taken = features
    return taken[by_colour[:, 0].argmax()]


SLIDE_ENCODERS = [
    SlideEncoder(
        name="of-brightest", patch_encoder="tiny", further_patch_encoders=("timm-test_efficientnet",), dim=None,
        forward=of_brightest, license="MIT",
    )
]
"""
"""Of the patch with most red, the features by another network."""
NETWORK = "timm-test_efficientnet"
EMBEDDING = "slide_embedding/of-brightest"


def paint_noise(path: Path) -> SlideSource:
    """Paint a slide with four patches of coloured noise, the second of them the reddest."""
    noise, pixels = np.random.default_rng(0), np.full((1024, 1024, 3), 255, np.uint8)
    pixels[256:768, 256:768] = noise.integers((150, 40, 100), (200, 120, 200), (512, 512, 3))
    pixels[256:512, 512:768, 0] += 50
    return SlideSource(path.stem, paint_slide(path, pixels))


def project_of_two(folder: Path, weights: Path, **values) -> Project:
    """Return a project whose slides lie in ``folder/slides``, and whose embedding takes features of two encoders."""
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": ["of-brightest"]}
    base = {
        "output": folder / "out",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [geometry],
        "plugins": [plugin_file(OF_TWO)],
        "weights": {NETWORK: weights},
        "upgrades": {"canary_slides": 1, "canary_patches": 2},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_project(base | values, origin="test")
