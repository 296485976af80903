"""The job that writes results for other programs."""
