"""An open slide: its levels, its scale, its pixels, its files and what they contain."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
