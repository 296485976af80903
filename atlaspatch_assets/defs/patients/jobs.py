"""The job: the embeddings of the cases of a run, and the definitions of a project with cases."""

from collections.abc import Sequence

import dagster as dg

from atlaspatch_assets.defs.patients.assets import build_case_assets
from atlaspatch_assets.defs.patients.sensors import build_case_sensor
from atlaspatch_assets.lib.announced import LaterCheck
from atlaspatch_assets.lib.batch_ops import batch_job
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.validity.recipe import Recipe

DESCRIPTION = "Takes the slides of cases to their features, and each case to its embeddings."


def build_patient_definitions(recipe: Recipe, later: Sequence[LaterCheck] = ()) -> dg.Definitions:
    """Return assets, job and sensor of a project's cases; nothing where it has no table or no patient encoder."""
    if not recipe.cases or recipe.project.patients.manifest is None:
        return dg.Definitions()
    assets = build_case_assets(recipe, later)
    job = batch_job(ProjectNames.of(recipe.project).cases, recipe.project, assets, DESCRIPTION)
    return dg.Definitions(assets=[assets], jobs=[job], sensors=[build_case_sensor(recipe)])
