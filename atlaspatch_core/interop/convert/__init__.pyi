from .conversion import convert_slides as convert_slides
from .settings import Settings as Settings
