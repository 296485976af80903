from .restamping import restamp as restamp
from .trial import trials as trials
from .trial import try_upgrade as try_upgrade
