"""Numbers that people have of patches, shown where the patches lie: heat maps, outlines for QuPath, contact sheets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
