"""Slides of any readable format to pyramidal, tiled BigTIFF that OpenSlide reads, by libvips: the extra ``convert``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
