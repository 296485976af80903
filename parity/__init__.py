"""Other tools run as black boxes on painted slides, and held against ours: ``make parity``."""
