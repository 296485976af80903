from .grid import PatchGrid as PatchGrid
from .grid import lay_grid as lay_grid
from .grid_spec import GridSpec as GridSpec
from .stream import stream_patches as stream_patches
