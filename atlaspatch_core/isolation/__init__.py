"""Processes of their own for what may crash natively: a crash there is an error here, and costs nothing else."""
