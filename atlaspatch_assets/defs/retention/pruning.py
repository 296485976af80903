"""The job that removes what killed processes left half-written. Says what it would do, and does it when told to."""

import dagster as dg
from pydantic import Field

from atlaspatch_assets.lib.results import NO_VALUE, NOTHING_DONE, table
from atlaspatch_core.config.project import Project

JOB_NAME = "prune_temporary_files"


class PruneConfig(dg.Config):
    """What is swept away."""

    dry_run: bool = Field(default=True, description="Only say which files would be removed.")
    least_minutes: float = Field(
        default=60,
        ge=0,
        description="Files that were written to since so many minutes stay: on a network drive a process on another "
        "machine may be writing to them. On this machine the lock of the slide tells, whatever their age.",
    )


def build_pruning(project: Project) -> dg.JobDefinition:
    """Return the job ``prune_temporary_files``."""

    @dg.op(
        name="sweep",
        description="Removes what killed processes left half-written; files being written stay.",
        out=NO_VALUE,
    )
    def sweep(context: dg.OpExecutionContext, config: PruneConfig) -> None:
        from atlaspatch_core.operations.pruning import prune

        found = prune(project, least_minutes=config.least_minutes, dry_run=config.dry_run)
        gone = [it for it in found if not it.stays]
        fate = "would go" if config.dry_run else "removed"
        rows = [
            {"file": str(it.path), "bytes": it.bytes, "hours": round(it.hours, 2), "fate": it.stays or fate}
            for it in found
        ]
        for row in rows:
            context.log.info("%s: %s", row["file"], row["fate"])
        if config.dry_run:
            context.log.info(NOTHING_DONE)
        context.add_output_metadata(
            {
                "files": len(found),
                "removed": 0 if config.dry_run else len(gone),
                "to_remove": len(gone) if config.dry_run else 0,
                "bytes": sum(it.bytes for it in gone),
                "half_written": table(rows, file="string", bytes="int", hours="float", fate="string"),
            }
        )

    @dg.job(
        name=JOB_NAME,
        executor_def=dg.in_process_executor,
        description="Removes half-written files from the output folder: those that killed processes left, never those "
        "that a live one writes to. Lists them first, and removes them with dry_run: false.",
    )
    def prune_temporary_files() -> None:
        sweep()

    return prune_temporary_files
