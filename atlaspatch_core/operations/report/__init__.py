"""The cohort report: one static HTML page about all slides of a project, made from what is stored."""
