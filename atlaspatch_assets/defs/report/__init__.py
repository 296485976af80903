"""The cohort report as an asset."""
