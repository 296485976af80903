"""What of a project needs a person, each group with the command or job that mends it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import dagster as dg

from atlaspatch_assets.lib.dead_runs import CAUSE, WHAT, dead_runs
from atlaspatch_assets.lib.names import ProjectNames, partition_keys
from atlaspatch_assets.lib.results import table_metadata
from atlaspatch_core.operations.report.needs import Need, NeedKind, find_needs
from atlaspatch_core.validity.states import Validity

CURES = {
    NeedKind.FAILED: "Do what the reason says, then `atlaspatch backfill --failed`.",
    NeedKind.STALE: "`atlaspatch backfill --stale` computes these; with `--dry-run` it says first what it takes.",
    NeedKind.ODD: "Look at the picture, and correct the outline where it is wrong; `atlaspatch inspect` shows a file.",
    NeedKind.REMOVED: "Put the file back, or launch the job `retire_slides`; outputs stay unless you say so.",
    NeedKind.MISSING: "Turn the sensor `new_slides` on, or `atlaspatch materialize`.",
    NeedKind.STUCK: "`atlaspatch end-dead-runs`; where the daemon runs, that happens within a minute.",
}
MOST_NAMED = 20
"""Slides of a group that its row names."""


def project_needs(
    names: ProjectNames,
    instance: dg.DagsterInstance,
    outputs: Iterable[Validity],
    warnings: Mapping[str, Iterable[str]],
    busy: Collection[str],
) -> tuple[Need, ...]:
    """Return what needs a person; ``busy`` slides and cases, of runs that have not ended, are on their way."""
    gone = partition_keys(instance, names.removed)
    return (*_dead(instance), *find_needs(outputs, warnings, CURES, busy=busy, gone=gone))


def _dead(instance: dg.DagsterInstance) -> Iterator[Need]:
    if dead := dead_runs(instance):
        runs, jobs = tuple(sorted(run.run_id for run in dead)), tuple({run.job_name for run in dead})
        yield Need(NeedKind.STUCK, f"{WHAT}: {CAUSE}", runs, CURES[NeedKind.STUCK], jobs)


def needs_table(needs: Sequence[Need]) -> dg.MetadataValue:
    """Return them as a table, the gravest first."""
    rows = [
        {
            "kind": need.kind.value,
            "slides": len(need.stems),
            "reason": need.reason,
            "cure": need.cure,
            "which": ", ".join(need.stems[:MOST_NAMED]) + " …" * (len(need.stems) > MOST_NAMED),
        }
        for need in needs
    ]
    return table_metadata(rows, kind="string", slides="int", reason="string", cure="string", which="string")
