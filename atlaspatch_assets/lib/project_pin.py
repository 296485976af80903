"""The project that a run was asked for under: a run that would compute by another one stops before its first slide.

A run's process reads the project file anew, also where the code location, whose pages people see, read it before a
change. So the op of every run has the hash of its project as a tag, which Dagster keeps as the run was made.
"""

from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.dagster_internals import op_tag_as_requested
from atlaspatch_assets.lib.names import PartitionKind
from atlaspatch_core.config.project import Project
from atlaspatch_core.fingerprint import canonical_json, short_hash

PROJECT_HASH = "atlaspatch/project_hash"
"""Tag of ops: the project that declared them. Of a run that was stopped: the one that it was asked for under."""
STOPPED = {"atlaspatch/stopped": "project_changed"}
"""Tag of runs that were stopped because the project is another one."""
DECIDES_NO_OUTPUT = {"runtime", "alerts", "upgrades", "owners", "pictures"}
"""Parts of a project that change how fast it is worked on, who hears of it, and what is drawn beside it."""
WHY = (
    "the project file was changed between this run and the code location that it was asked for by; no slide was "
    "touched. Reload the code location, and the sensor resume_stopped asks for it again"
)


def project_hash(project: Project) -> str:
    """Return 16 hex digits that change with all of a project file that decides what is made of which slides."""
    return short_hash(canonical_json(project.model_dump(mode="json", exclude=DECIDES_NO_OUTPUT)))


def pin_tags(project: Project) -> dict[str, str]:
    """Return the tags of an op whose runs are to compute by this project alone."""
    return {PROJECT_HASH: project_hash(project)}


def stop_if_changed(context: dg.OpExecutionContext, kind: PartitionKind, keys: Sequence[str] = ()) -> None:
    """Raise dagster.Failure where the run was asked for under another project than this process has.

    Its tags then say for which ``keys`` it is to be asked again.
    """
    pinned = op_tag_as_requested(context.instance, context.run, context.op_def.name, PROJECT_HASH)
    if pinned not in (None, context.op_def.tags.get(PROJECT_HASH)):
        context.instance.add_run_tags(context.run.run_id, {**kind.run_tags(keys), **STOPPED, PROJECT_HASH: pinned})
        raise dg.Failure(WHY, allow_retries=False)
