"""Runs of a project that have not ended, in words, with what each takes: what ``atlaspatch status`` adds."""

import dagster as dg

from atlaspatch_assets.defs.slides.progress import PROGRESS_TAG
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_runs import keys_of_run, unfinished_runs
from atlaspatch_core.validity.recipe import Recipe


def describe_unfinished_runs(recipe: Recipe, instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Return run to slides or cases, such as ``run 1f3a9c02 of Dagster, started, 3 of 128 slides``."""
    names = ProjectNames.of(recipe.project)
    runs = unfinished_runs(instance)
    with_keys = ((run, keys_of_run(kind, run, instance)) for kind in (names.slides, names.cases) for run in runs)
    return {_describe(run): sorted(keys) for run, keys in with_keys if keys}


def _describe(run: dg.DagsterRun) -> str:
    progress = run.tags.get(PROGRESS_TAG)
    return ", ".join([f"run {run.run_id[:8]} of Dagster", run.status.value.lower(), *([progress] if progress else [])])
