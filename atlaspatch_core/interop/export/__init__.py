"""Results for other programs: a table of layouts, and the export of a project or of an output folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
