"""What keeps a cohort running: tracking, status, reports, estimates, diagnosis and tidying up."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
