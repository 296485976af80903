"""How the jobs are configured that make new and stale outputs."""

from typing import Any

import dagster as dg
from pydantic import Field

from atlaspatch_core.validity.states import State

MATERIALIZE_NEW = "materialize_new"
MATERIALIZE_STALE = "materialize_stale"
MATERIALIZE_FAILED = "materialize_failed"
STATES = {
    MATERIALIZE_NEW: (State.MISSING,),
    MATERIALIZE_STALE: (State.STALE,),
    MATERIALIZE_FAILED: (State.FAILED,),
}


class RepairConfig(dg.Config):
    """Which outputs are made."""

    assets: list[str] = Field(
        default=[], description="Assets by key, such as patch_features/uni_v1, or by its last part; empty: all."
    )
    dry_run: bool = Field(default=True, description="Only say what there is to do and what it takes.")
    compute: bool = Field(
        default=True, description="Ask for the runs, in batches of slides_per_run. false: propose them only."
    )


class StaleConfig(RepairConfig):
    """Which stale outputs are made anew."""

    canary: bool = Field(
        default=True,
        description="First encode some stored patches by a changed patch encoder. Where the numbers are the same, the "
        "results keep their rows and get the new identity; only the others are computed.",
    )


def config_of(run: dg.DagsterRun) -> RepairConfig:
    """Return the configuration of a run of these jobs, defaults filled in."""
    config: Any = run.run_config
    ops = config.get("ops", {}) if isinstance(config, dict) else {}
    values = next(iter(ops.values()), {}).get("config", {}) if ops else {}
    return StaleConfig(**values) if run.job_name == MATERIALIZE_STALE else RepairConfig(**values)
