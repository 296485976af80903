from .project import Project as Project
from .project import load_project as load_project
from .project import make_project as make_project
