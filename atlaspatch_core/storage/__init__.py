"""The one writer of everything that is kept: HDF5 files, records, locks and atomic replacement."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
