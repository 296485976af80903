"""The patches of a slide: their grid, their scale, filters on them, and their pixels."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from atlaspatch_core import Patch, PatchGrid
    from atlaspatch_core.slides import Slide

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class CallableRoom(ModuleType):
    """This room as a module that can be called.

    ``import atlaspatch_core.patches``, which much of the core does, makes the module the attribute ``patches`` of the
    package, and so hides the function ``ap.patches`` behind it: the module does what the function does.
    """

    def __call__(self, slide: "Slide", grid: "PatchGrid") -> "Iterator[Patch]":
        """Yield every patch of a grid once: ``pixels``, ``coords`` (level-0 px) and ``row``; see docs/python.md."""
        import atlaspatch_core

        return atlaspatch_core.api.patches(slide, grid)


sys.modules[__name__].__class__ = CallableRoom
