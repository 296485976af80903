"""Whole-slide image computing: masks, coords, features and embeddings, without Dagster.

``import atlaspatch_core as ap`` is the door for notebooks and scripts: the names of ``__init__.pyi``, which are loaded
when they are first used, so that the import itself takes no time and no torch.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("atlaspatch")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
