"""In place of the package sam2, which no index has: networks of nothing, and a predictor of a mask that is given.

``ATLASPATCH_PARITY_MASK`` names a .npy file, bool (height, width) of AtlasPatch's overview.
"""

import os
import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np

SIDE = 1024
"""px of the square that SAM 2 is shown."""


class Predictor:
    """Has the calls of SAM 2's image predictor."""

    mask_threshold = 0.0

    def __init__(self, sam_model, **_):
        self.model = sam_model

    def set_image(self, image):
        """Take an image, which decides nothing."""

    def reset_predictor(self):
        """Forget it."""

    def predict(self, **_):
        """Return masks (1, 1024, 1024), their quality, and low-resolution masks."""
        mask = np.load(os.environ["ATLASPATCH_PARITY_MASK"])
        rows, columns = (nearest(count) for count in mask.shape)
        return mask[np.ix_(rows, columns)][None].astype(np.float32), np.ones(1), np.zeros((1, 256, 256))


def nearest(count):
    """Return which of ``count`` px each of 1024 shows, so that made smaller by nearest px they are the same again."""
    return np.searchsorted(np.arange(count) * SIDE // count, np.arange(SIDE), "right") - 1


class AnyModule(ModuleType):
    """Has every class that is asked for, and every module."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name.islower():
            return import_module(f"{self.__name__}.{name}")
        from torch.nn import Module

        if name == "SAM2ImagePredictor":
            return Predictor
        return type(name, (Module,), {"__init__": lambda self, **_: Module.__init__(self)})


class Finder(MetaPathFinder, Loader):
    """Finds every module of sam2."""

    def find_spec(self, fullname, path=None, target=None):  # noqa: ARG002, D102
        return ModuleSpec(fullname, self, is_package=True) if fullname.startswith("sam2.") else None

    def create_module(self, spec):  # noqa: D102
        return AnyModule(spec.name)

    def exec_module(self, module):  # noqa: D102
        module.__path__ = []


sys.meta_path.insert(0, Finder())
