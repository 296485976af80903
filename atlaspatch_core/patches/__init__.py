"""The patches of a slide: their grid, their scale, filters on them, and their pixels."""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class CallableRoom(ModuleType):
    """This room as a module that can be called.

    ``import atlaspatch_core.patches``, which much of the core does, makes the module the attribute ``patches`` of the
    package, and so hides the function ``ap.patches`` behind it: the module does what the function does.
    """

    def __call__(self, *arguments: Any) -> Any:
        """Yield every patch of a slide's grid once: ``pixels``, ``coords`` (level-0 px) and ``row``."""
        import atlaspatch_core

        return atlaspatch_core.api.patches(*arguments)


sys.modules[__name__].__class__ = CallableRoom
