from .adoption import adopt_folder as adopt_folder
from .settings import AdoptSettings as AdoptSettings
