"""What Dagster loads: the assets, the job and the sensor of the project file."""

from typing import Any

import dagster as dg

from atlaspatch_assets.defs.alerts.sensors import build_alerts
from atlaspatch_assets.defs.audit.jobs import build_audit
from atlaspatch_assets.defs.export.jobs import build_export
from atlaspatch_assets.defs.masks.sensors import build_edit_sensor
from atlaspatch_assets.defs.patients.jobs import build_patient_definitions
from atlaspatch_assets.defs.report.assets import build_report_definitions
from atlaspatch_assets.defs.retention.jobs import build_pruning, build_retirement
from atlaspatch_assets.defs.runs.sensors import build_dead_run_sensor
from atlaspatch_assets.defs.runs.stopped import build_resume_sensor
from atlaspatch_assets.defs.slides.assets import build_slide_assets
from atlaspatch_assets.defs.slides.sensors import build_sensor
from atlaspatch_assets.defs.validity.assets import build_validity_definitions
from atlaspatch_assets.defs.validity.checks import later_case_checks, later_slide_checks
from atlaspatch_assets.defs.validity.jobs import build_upgrade_definitions
from atlaspatch_assets.defs.validity.sensors import requests_put_off
from atlaspatch_assets.lib.batch_ops import batch_job
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.project_file import find_project
from atlaspatch_assets.lib.run_executor import run_executor
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe

DESCRIPTION = "Takes a batch of slides from file to slide embedding, reusing what is valid."


def build_definitions(project: Project) -> dg.Definitions:
    """Return the Dagster definitions of a project; no slide is opened and no model loaded.

    A run is one process, and the op runs inside it: what works in parallel is several runs.
    Raises UnknownName, GeometryMismatch or InvalidProject when there can be no such project.
    """
    return dg.Definitions.merge(build_project(project), dg.Definitions(executor=run_executor))


def build_project(project: Project) -> dg.Definitions:
    """Return the same for a deployment that has an executor of its own; raises the same."""
    recipe = make_recipe(project)
    assets = build_slide_assets(recipe, later_slide_checks(recipe))
    job = batch_job(ProjectNames.of(project).slides, project, assets, DESCRIPTION)
    of_slides = dg.Definitions(
        assets=[assets],
        jobs=[job, build_retirement(project), build_export(recipe), build_pruning(project)],
        sensors=[build_sensor(project), build_edit_sensor(recipe), build_dead_run_sensor(project)],
    )
    patients = build_patient_definitions(recipe, later_case_checks(recipe))
    processes: list[Any] = [job, *(patients.jobs or ())]
    repair = (build_validity_definitions(recipe), build_upgrade_definitions(recipe, processes))
    stopped = dg.Definitions(sensors=[build_resume_sensor(recipe, processes, requests_put_off)])
    others = (*repair, stopped, build_audit(recipe), patients, build_report_definitions(recipe), build_alerts(recipe))
    return dg.Definitions.merge(of_slides, *others)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of the project file; read when Dagster asks, not at import."""
    return build_definitions(find_project())
