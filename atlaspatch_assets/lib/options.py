"""Options that a job and a command share. Reading them imports no Dagster."""

from atlaspatch_core.config.mode_fields import DRY_RUN as DRY_RUN
from atlaspatch_core.option import Option

ASSETS = Option(
    "Only the assets of these keys, such as patch_features/uni_v1, or of these last parts of keys.",
    flags=("--asset", "assets"),
    unset="all",
)
CANARY = Option(
    "First encode some stored patches by a changed patch encoder. Where the numbers are the same, the results keep "
    "their rows and get the new identity; only the others are computed.",
)
FORCE = Option("Compute everything that is asked for anew, though what is stored is valid.", flags=("--force",))
