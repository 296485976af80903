from .adopt import adopt_folder as adopt_folder
from .audit import audit_folder as audit_folder
from .convert import convert_slides as convert_slides
from .export import export_slides as export_slides
