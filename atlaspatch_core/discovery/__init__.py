"""Which slides lie where the user points, whether they are whole yet, and local copies of slow storage."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
