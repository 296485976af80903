"""The launcher of runs in our ``dagster.yaml``: Dagster's own, which also cancels a run whose process is gone."""

import dagster as dg

from atlaspatch_assets.dagster_internals import CancellingLauncher
from atlaspatch_assets.lib.dead_runs import end_cancelled_run


class RunLauncher(CancellingLauncher):
    """Dagster's default launcher; where nobody answers for a run, and nobody holds its lock, the run is cancelled."""

    def end_unanswered(self, instance: dg.DagsterInstance, run_id: str) -> bool:
        """Mark a run as cancelled whose process is gone; return whether it is."""
        return end_cancelled_run(instance, run_id)
