from .found import ResultFolder as ResultFolder
from .recognise import recognise_folder as recognise_folder
from .supplied_coords import find_coords as find_coords
from .supplied_coords import read_coords as read_coords
