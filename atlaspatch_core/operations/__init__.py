"""What keeps a cohort running: tracking, status, reports, estimates, diagnosis and tidying up."""
