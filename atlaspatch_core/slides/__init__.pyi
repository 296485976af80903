from .readers import open_slide as open_slide
from .slide import Region as Region
from .slide import Slide as Slide
from .slide import SlideInfo as SlideInfo
