"""The command line: options to a project, outcomes to lines. Importing it loads click and nothing heavy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
