"""Plugins that tests write."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

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


@cache
def plugin_file(text: str) -> Path:
    """Return a file of that text, one for all tests: a process that executed it once reads the slides of them all."""
    folder = Path(tempfile.mkdtemp(prefix="atlaspatch-plugin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "plugin.py"
    path.write_text(text)
    return path
