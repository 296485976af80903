from .bags import BagDataset as BagDataset
from .embedding_tables import ResultsWarning as ResultsWarning
from .folder_results import Results as Results
from .folder_results import results as results
