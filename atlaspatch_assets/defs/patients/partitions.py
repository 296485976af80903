"""The cases as Dagster partitions, and how a run is told about them."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from atlaspatch_assets.lib.verdicts import own_checks

CASES = dg.DynamicPartitionsDefinition(name="cases")
"""One dynamic partition per case, keyed by case_id."""

OP_NAME = "cases_to_embeddings"
JOB_NAME = "process_cases"


def cases_config(case_ids: Sequence[str], *, force: bool = False) -> dict[str, Any]:
    """Return the run configuration for these cases."""
    return {"ops": {OP_NAME: {"config": {"cases": list(case_ids), "force": force}}}}


def cases_request(
    case_ids: Sequence[str],
    versions: Iterable[str],
    *,
    tags: Mapping[str, str] | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
) -> dg.RunRequest:
    """Return the request for one run over these cases; at the same ``versions`` it is granted once."""
    key = sha256("\n".join((*case_ids, *versions)).encode()).hexdigest()[:16]
    return dg.RunRequest(
        run_key=f"cases-{key}",
        job_name=JOB_NAME,
        partition_key=case_ids[0],
        run_config=cases_config(case_ids),
        asset_selection=list(assets) if assets else None,
        asset_check_keys=own_checks(assets) if assets else None,
        tags=dict(tags or {}),
    )


def running_cases(instance: dg.DagsterInstance) -> set[str]:
    """Return the cases of all runs that have not ended."""
    runs = instance.get_runs(filters=dg.RunsFilter(job_name=JOB_NAME, statuses=list(NOT_FINISHED_STATUSES)))
    return {case_id for run in runs for case_id in cases_of(run)}


def cases_of(run: dg.DagsterRun) -> set[str]:
    """Return the cases that a run lists, and the one that stands for it."""
    config: Any = run.run_config
    listed = config.get("ops", {}).get(OP_NAME, {}).get("config", {}).get("cases", [])
    anchor = run.tags.get("dagster/partition")
    return {*listed, *([anchor] if anchor else [])}
