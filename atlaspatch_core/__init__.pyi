from . import api as api

__version__: str
