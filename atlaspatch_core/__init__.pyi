from . import api as api
from .api import BagDataset as BagDataset
from .api import Results as Results
from .api import ResultsWarning as ResultsWarning
from .api import results as results

__version__: str
