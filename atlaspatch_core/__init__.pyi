from . import api as api
from .api import BagDataset as BagDataset
from .api import OpenedSlide as OpenedSlide
from .api import Patch as Patch
from .api import PatchDataset as PatchDataset
from .api import Results as Results
from .api import ResultsWarning as ResultsWarning
from .api import SlideTissue as SlideTissue
from .api import encode as encode
from .api import heat_map as heat_map
from .api import lay_grid as lay_grid
from .api import open_slide as open_slide
from .api import patches as patches
from .api import process as process
from .api import results as results
from .api import segment as segment
from .encoders import PatchEncoder as PatchEncoder
from .encoders import SlideEncoder as SlideEncoder
from .patches import PatchGrid as PatchGrid
from .slides import Region as Region

__version__: str
