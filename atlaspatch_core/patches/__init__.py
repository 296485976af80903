"""The patches of a slide: their grid, their scale, filters on them, and their pixels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
