"""Plugins that tests write."""

TINY_ENCODER = """
from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn


def mean_colour():
    from torch.nn import AdaptiveAvgPool2d, Flatten, Sequential

    return Sequential(AdaptiveAvgPool2d(1), Flatten())


RGB = Transform(resize=None, crop=None, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
PATCH_ENCODERS = [
    PatchEncoder(
        name="tiny", architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    )
]
"""
"""An encoder of three numbers: the mean colour of a patch."""
