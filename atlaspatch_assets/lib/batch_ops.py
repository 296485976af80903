"""The op that processes a batch of slides or cases: its assets, its checks, its job and what it yields."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from atlaspatch_assets.dagster_internals import AssetJob, announce_materializations
from atlaspatch_assets.lib.announced import LaterCheck, announced_verdicts
from atlaspatch_assets.lib.declaring import asset_job
from atlaspatch_assets.lib.events import outcome_events
from atlaspatch_assets.lib.listed_keys import refuse_unknown
from atlaspatch_assets.lib.names import PartitionKind
from atlaspatch_assets.lib.pools import computes_on_gpu, pool_of
from atlaspatch_assets.lib.project_pin import pin_tags, stop_if_changed
from atlaspatch_assets.lib.results import check_outputs
from atlaspatch_assets.lib.run_locks import hold_step_lock
from atlaspatch_assets.lib.stopped_runs import check_output, stop_run
from atlaspatch_assets.lib.untouched import untouched_events
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import MachineFault
from atlaspatch_core.validity.outcome import Outcome, Status


@contextmanager
def without_preview_warnings() -> Iterator[None]:
    """Silence what Dagster says of pools and of checks with partitions each time that they are declared."""
    with catch_warnings():
        simplefilter("ignore", dg.BetaWarning)
        simplefilter("ignore", dg.PreviewWarning)
        yield


def batch_asset(
    kind: PartitionKind,
    project: Project,
    specs: Sequence[dg.AssetSpec],
    checks: Sequence[dg.AssetCheckSpec],
    description: str,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of the op of a kind: one op, so that a run over a batch loads each model once.

    Its runs compute by this project alone. Its step is locked, so that its death is seen whatever the executor is.
    """
    declare = dg.multi_asset(
        name=kind.op_name,
        description=description,
        specs=specs,
        check_specs=checks,
        can_subset=True,
        partitions_def=kind.definition,
        backfill_policy=dg.BackfillPolicy.multi_run(project.runtime.slides_per_run),
        pool=pool_of(project.runtime),
        op_tags=pin_tags(project),
    )

    def declare_locked(function: Callable[..., Iterator[Any]]) -> dg.AssetsDefinition:
        @wraps(function)
        def locked(context: dg.AssetExecutionContext, config: Any) -> Iterator[Any]:
            with hold_step_lock(context.instance, context.run.run_id, kind.op_name):
                yield from function(context, config)

        return declare(locked)

    return declare_locked


def batch_job(kind: PartitionKind, project: Project, assets: dg.AssetsDefinition, description: str) -> AssetJob:
    """Return the job of all assets of a kind and the checks that come with them.

    Checks that look at outputs by themselves have jobs of their own.
    """
    checks = dg.AssetSelection.checks(*assets.check_keys)
    selection = dg.AssetSelection.assets(assets).without_checks() | checks
    return asset_job(kind.names, kind.job, selection, description, on_gpu=computes_on_gpu(project.runtime))


def batch_keys(
    kind: PartitionKind,
    context: dg.AssetExecutionContext,
    listed: Sequence[str],
    find_names: Callable[[], Iterable[str]],
) -> list[str]:
    """Return the keys of the run; the partitions are read once, because each look at them reads all there are.

    What is ``listed`` must be a partition or among ``find_names``. Raises dagster.Failure.

    Of a run that lists its keys Dagster knows one alone. It is told of the others, so that their pages show the run,
    and they count as failed where it ends without them.
    """
    keys = list(dict.fromkeys(listed or context.partition_keys))
    stop_if_changed(context.op_execution_context, kind, keys)
    if listed:
        refuse_unknown(kind, context.instance, listed, find_names)
        kind.register(context.instance, listed)
        others = [key for key in keys if key != context.run.tags.get("dagster/partition")]
        announce_materializations(context.instance, context.run, kind.op_name, context.selected_asset_keys, others)
    context.instance.add_run_tags(context.run.run_id, kind.run_tags(keys))
    return keys


def batch_events(
    kind: PartitionKind,
    project: Project,
    context: dg.AssetExecutionContext,
    outcomes: Iterable[Outcome],
    open_failures: OpenFailures,
    checks: Sequence[dg.AssetCheckSpec],
    keys: Sequence[str],
    later: Sequence[LaterCheck] = (),
) -> Iterator[Any]:
    """Yield the events of a batch as its outcomes come, and at the end the outputs of its checks and what else was
    announced of it: verdicts of ``later`` checks.

    Raises dagster.Failure at the end where any failed, and at once where the machine is to blame: nothing of what was
    not seen to is changed.
    """
    failed: dict[str, str] = {}
    seen_to: set[tuple[dg.AssetKey, str]] = set()
    try:
        check_output(project, context)
        for outcome in outcomes:
            yield from outcome_events(outcome, open_failures)
            seen_to.add((kind.names.asset_key(outcome.step), outcome.stem))
            if outcome.status is Status.FAILED:
                failed[outcome.stem] = outcome.why
    except MachineFault as error:
        others = ((asset, key) for asset in sorted(context.selected_asset_keys) for key in keys)
        for asset, key in others:
            yield from () if (asset, key) in seen_to else untouched_events(context, asset, key, str(error))
        stop_run(context, error)
    yield from announced_verdicts(kind.names, context.instance, later, keys)
    yield from check_outputs(context.selected_asset_check_keys, checks)
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(keys)} {kind.plural} failed: {', '.join(failed)}",
            metadata={f"failed_{kind.plural}": dg.MetadataValue.json(failed)},
            allow_retries=False,
        )
