from .find import find_slides as find_slides
from .sources import Discovery as Discovery
from .sources import SlideSource as SlideSource
