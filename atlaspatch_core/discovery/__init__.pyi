from .find import Discovery as Discovery
from .find import SlideSource as SlideSource
from .find import find_slides as find_slides
