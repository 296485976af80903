"""Folders of results as TRIDENT, AtlasPatch, CLAM and this package lay them out: recognised and read, never written."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
