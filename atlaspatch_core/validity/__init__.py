"""What each output is to be, and whether what is stored is that: fresh, stale (why), missing or failed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
