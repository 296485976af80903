"""The jobs that remove partitions of slides that are gone, and half-written files. Each says first what it would do."""

import dagster as dg
from pydantic import Field

from atlaspatch_assets.defs.retention.retirement import (
    choose_slides,
    plan_lines,
    plan_metadata,
    plan_retirement,
    retire_slide,
)
from atlaspatch_assets.lib.declaring import op_job
from atlaspatch_assets.lib.names import RETIRE_SLIDES, ProjectNames
from atlaspatch_assets.lib.results import NOTHING_DONE, table_metadata
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import AtlasPatchError

PRUNE_TEMPORARY_FILES = "prune_temporary_files"


class RetireConfig(dg.Config):
    """Which slides are retired, and whether for real."""

    slides: list[str] = Field(default=[], description="Stems of the slides; empty: all that are marked as removed.")
    dry_run: bool = Field(default=True, description="Only say what would be done.")
    delete_outputs: bool = Field(
        default=False, description="Delete what was made of these slides, too: coords, features, masks and pictures."
    )


class PruneConfig(dg.Config):
    """What is swept away."""

    dry_run: bool = Field(default=True, description="Only say which files would be removed.")
    least_minutes: float = Field(
        default=60,
        ge=0,
        description="Files that were written to since so many minutes stay: on a network drive a process on another "
        "machine may be writing to them. On this machine the lock of the slide tells, whatever their age.",
    )


def build_retirement(project: Project) -> dg.JobDefinition:
    """Return the job ``retire_slides``."""
    names = ProjectNames.of(project)

    @op_job(
        names,
        RETIRE_SLIDES,
        "retire",
        description="Takes away the partitions of slides whose files are gone. Outputs stay unless told otherwise, "
        "their events stay in any case. Says what it would do, and does it with dry_run: false.",
        op_description="Taking away the partitions of slides whose files are gone. Says what it will do first, "
        "and does it when told to.",
    )
    def retire_slides(context: dg.OpExecutionContext, config: RetireConfig) -> None:
        try:
            plan = plan_retirement(project, choose_slides(names, context.instance, config.slides))
        except AtlasPatchError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        flags = {"dry_run": config.dry_run, "delete_outputs": config.delete_outputs}
        for line in plan_lines(plan, **flags):
            context.log.info(line)
        context.add_output_metadata(plan_metadata(plan, **flags))
        if config.dry_run:
            context.log.info(NOTHING_DONE)
            return
        for slide in plan:
            retire_slide(project, slide, context.instance, delete_outputs=config.delete_outputs)

    return retire_slides


def build_pruning(project: Project) -> dg.JobDefinition:
    """Return the job ``prune_temporary_files``."""
    names = ProjectNames.of(project)

    @op_job(
        names,
        PRUNE_TEMPORARY_FILES,
        "sweep",
        description="Removes half-written files from the output folder: those that killed processes left, never those "
        "that a live one writes to. Lists them first, and removes them with dry_run: false.",
        op_description="Removes what killed processes left half-written; files being written stay.",
    )
    def prune_temporary_files(context: dg.OpExecutionContext, config: PruneConfig) -> None:
        from atlaspatch_core.operations.pruning import prune_leftovers

        files = prune_leftovers(project, least_minutes=config.least_minutes, dry_run=config.dry_run)
        removable = [file for file in files if not file.reason]
        fate = "would go" if config.dry_run else "removed"
        rows = [
            {"file": str(file.path), "bytes": file.bytes, "hours": round(file.hours, 2), "fate": file.reason or fate}
            for file in files
        ]
        for row in rows:
            context.log.info("%s: %s", row["file"], row["fate"])
        if config.dry_run:
            context.log.info(NOTHING_DONE)
        context.add_output_metadata(
            {
                "files": len(files),
                "removed": 0 if config.dry_run else len(removable),
                "to_remove": len(removable) if config.dry_run else 0,
                "bytes": sum(file.bytes for file in removable),
                "half_written": table_metadata(rows, file="string", bytes="int", hours="float", fate="string"),
            }
        )

    return prune_temporary_files
