"""Other tools run as black boxes on painted slides, and what they give held against what ours gives: ``make parity``."""
