"""The door for notebooks and scripts, ``import atlaspatch_core as ap``: one slide step by step, and what a run left."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
