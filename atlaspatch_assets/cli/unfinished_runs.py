"""Runs of a project that have not ended, in words, with what each takes: what ``atlaspatch status`` adds."""

import dagster as dg

from atlaspatch_assets.defs.slides.progress import PROGRESS_TAG
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.validity.recipe import Recipe


def unfinished_runs(recipe: Recipe, instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Return run to slides or cases, such as ``run 1f3a9c02 of Dagster, started, 3 of 128 slides``."""
    names = ProjectNames.of(recipe.project)
    runs = (*names.slides.unfinished_runs(instance), *names.cases.unfinished_runs(instance))
    return {_describe(run): sorted(keys) for run, keys in runs}


def _describe(run: dg.DagsterRun) -> str:
    progress = run.tags.get(PROGRESS_TAG)
    return ", ".join([f"run {run.run_id[:8]} of Dagster", run.status.value.lower(), *([progress] if progress else [])])
