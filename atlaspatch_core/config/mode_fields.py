"""Options of how a command or a job treats what is there. Reading them imports nothing heavy."""

from atlaspatch_core.option import Option

DRY_RUN = Option("Only say what there is to do and what it takes.", flags=("--dry-run",))
