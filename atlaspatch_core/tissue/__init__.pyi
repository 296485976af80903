from .mask import TissueMask as TissueMask
from .segmenters import TissueSpec as TissueSpec
from .segmenters import segment_tissue as segment_tissue
