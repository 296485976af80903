"""How the jobs are configured that make new and stale outputs."""

from typing import Annotated, Any

import dagster as dg

from atlaspatch_assets.lib.config import JobConfig
from atlaspatch_assets.lib.names import MATERIALIZE_FAILED, MATERIALIZE_STALE
from atlaspatch_assets.lib.options import ASSETS, CANARY, DRY_RUN
from atlaspatch_core.discovery.cohorts import COHORTS
from atlaspatch_core.option import Option
from atlaspatch_core.validity.states import State

MATERIALIZE_NEW = "materialize_new"
STATES = {
    MATERIALIZE_NEW: (State.MISSING,),
    MATERIALIZE_STALE: (State.STALE,),
    MATERIALIZE_FAILED: (State.FAILED,),
}


class RepairConfig(JobConfig):
    """Which outputs are made."""

    assets: Annotated[list[str], ASSETS] = []  # noqa: RUF012 - pydantic copies it
    cohorts: Annotated[list[str], COHORTS] = []  # noqa: RUF012
    dry_run: Annotated[bool, DRY_RUN] = True
    compute: Annotated[bool, Option("Ask for the runs, in batches of slides_per_run. false: propose them only.")] = True


class StaleConfig(RepairConfig):
    """Which stale outputs are made anew."""

    canary: Annotated[bool, CANARY] = True


def read_config(name: str, run: dg.DagsterRun) -> RepairConfig:
    """Return the configuration of a run of the job of this name, defaults filled in."""
    config: Any = run.run_config
    ops = config.get("ops", {}) if isinstance(config, dict) else {}
    values = next(iter(ops.values()), {}).get("config", {}) if ops else {}
    return StaleConfig(**values) if name == MATERIALIZE_STALE else RepairConfig(**values)
