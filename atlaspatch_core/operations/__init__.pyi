from .doctor.running import examine as examine
from .inspect import inspect_slide as inspect_slide
from .near_duplicates import find_near_duplicates as find_near_duplicates
from .pruning import prune as prune
from .report.report import write_report as write_report
from .tracking.project_status import project_status as project_status
from .tracking.tracker import Tracker as Tracker
