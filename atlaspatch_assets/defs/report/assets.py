"""The cohort report as an asset: one page about all slides, its figures and a small picture of it."""

import base64
from collections.abc import Iterator

import dagster as dg

from atlaspatch_assets.lib import recorded as validity
from atlaspatch_assets.lib.declaring import asset_job
from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_assets.lib.page_links import page_links
from atlaspatch_core.operations.report.report import Report
from atlaspatch_core.operations.report.values import Failures
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import OutputSpec, Recipe

JOB_NAME = "make_cohort_report"


def build_report_definitions(recipe: Recipe) -> dg.Definitions:
    """Return the asset ``cohort_report`` of a project, and the job that makes it."""
    asset, names = _asset(recipe), ProjectNames.of(recipe.project)
    job = asset_job(
        names,
        JOB_NAME,
        dg.AssetSelection.assets(asset),
        "Writes the page about all slides anew.",
    )
    return dg.Definitions(assets=[asset], jobs=[job])


def _asset(recipe: Recipe) -> dg.AssetsDefinition:
    page, names = Store(recipe.project.output).report(), ProjectNames.of(recipe.project)

    @dg.asset(
        key=names.asset_key("cohort_report"),
        deps=names.asset_keys(stage.step for stage in last_stages(recipe)),
        group_name="overview",
        kinds={"html"},
        owners=list(recipe.project.owners),
        metadata={"path": dg.MetadataValue.path(page)},
        description=(
            "One page about all slides: gallery with outlines, distributions, outliers first, a map of the slide "
            "embeddings with the nearest slides of each, coverage, failures with reasons.\n\n"
            f"`{page}` opens from disk, without a server or a network. It is made of records, GeoJSON and HDF5 files "
            "and of what failed in Dagster; no slide is opened. Nearest slides stand on the page and not on every "
            "slide: they change for all slides whenever one is added."
        ),
    )
    def cohort_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from atlaspatch_core.operations.report.report import write_report

        return _result(write_report(recipe, failures(recipe, context.instance)))

    return cohort_report


def last_stages(recipe: Recipe) -> Iterator[OutputSpec]:
    """Yield the stages that no other depends on: the report follows them, and with them all others."""
    upstream = {step for stage in recipe.stages for step in stage.upstream}
    yield from (stage for stage in recipe.stages if stage.step not in upstream)


def failures(recipe: Recipe, instance: dg.DagsterInstance) -> Failures:
    """Return step to stem to the reason, of outputs whose last verdict in Dagster is that they could not be made."""
    steps = (stage.step for stage in (*recipe.stages, *recipe.cases))
    names = ProjectNames.of(recipe.project)
    checks = {step: names.check_key(step, PROCESSED) for step in steps}
    return {step: validity.failure_reasons(instance, check) for step, check in checks.items()}


def _result(report: Report) -> dg.MaterializeResult:
    picture = base64.b64encode(report.picture).decode()
    shown = {"picture": dg.MetadataValue.md(f"![the first slides](data:image/jpeg;base64,{picture})")}
    return dg.MaterializeResult(
        metadata={
            **{name: dg.MetadataValue.int(count) for name, count in report.numbers.items()},
            **(shown if picture else {}),
            "path": dg.MetadataValue.path(report.path),
            **page_links(f"/{report.path.name}"),
        }
    )
