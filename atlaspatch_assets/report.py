"""The cohort report as an asset: one page about all slides, its figures and a small picture of it."""

import base64
from collections.abc import Iterator

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from atlaspatch_assets.checks import PROCESSED
from atlaspatch_assets.stages import asset_key
from atlaspatch_core.recipe import Recipe, Stage
from atlaspatch_core.report.values import Failures
from atlaspatch_core.report.writing import FILE_NAME, Report

JOB_NAME = "make_cohort_report"
MOST_REASONS = 1000
"""Failed slides of one asset whose reason is looked up; each costs a query."""
UNTOLD = "it failed; its check in Dagster says why"


def build_report_definitions(recipe: Recipe) -> dg.Definitions:
    """Return the asset ``cohort_report`` of a project, and the job that makes it."""
    asset = _asset(recipe)
    job = dg.define_asset_job(
        JOB_NAME, selection=dg.AssetSelection.assets(asset), description="Writes the page about all slides anew."
    )
    return dg.Definitions(assets=[asset], jobs=[job])


def _asset(recipe: Recipe) -> dg.AssetsDefinition:
    page = recipe.project.output / FILE_NAME

    @dg.asset(
        name="cohort_report",
        deps=[asset_key(stage.step) for stage in last_stages(recipe)],
        group_name="cohort",
        kinds={"html"},
        metadata={"path": dg.MetadataValue.path(page), "page": dg.MetadataValue.url(page.absolute().as_uri())},
        description=(
            "One page about all slides: gallery with outlines, distributions, outliers first, a map of the slide "
            "embeddings with the nearest slides of each, coverage, failures with reasons.\n\n"
            f"`{page}` opens from disk, without a server or a network. It is made of records, GeoJSON and HDF5 files "
            "and of what failed in Dagster; no slide is opened. Nearest slides and lengths of embeddings stand on the "
            "page and not on every slide: they change for all slides whenever one is added."
        ),
    )
    def cohort_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        from atlaspatch_core.report.writing import write_report

        return _result(write_report(recipe, failures(recipe, context.instance)))

    return cohort_report


def last_stages(recipe: Recipe) -> Iterator[Stage]:
    """Yield the stages that no other depends on: the report follows them, and with them all others."""
    upstream = {step for stage in recipe.stages for step in stage.upstream}
    yield from (stage for stage in recipe.stages if stage.step not in upstream)


def failures(recipe: Recipe, instance: dg.DagsterInstance) -> Failures:
    """Return step to stem to the reason, of outputs whose last verdict in Dagster is that they could not be made."""
    return {stage.step: dict(_failed(asset_key(stage.step), instance)) for stage in recipe.stages}


def _failed(key: dg.AssetKey, instance: dg.DagsterInstance) -> Iterator[tuple[str, str]]:
    check = dg.AssetCheckKey(key, PROCESSED)
    verdicts = instance.event_log_storage.get_asset_check_partition_info([check])
    failed = [it for it in verdicts if it.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED]
    stems = sorted(it.partition_key for it in failed if it.partition_key)
    for number, stem in enumerate(stems):
        yield stem, _reason(check, stem, instance) if number < MOST_REASONS else UNTOLD


def _reason(check: dg.AssetCheckKey, stem: str, instance: dg.DagsterInstance) -> str:
    asked = PartitionKeyFilter(key=stem)
    storage = instance.event_log_storage
    for record in storage.get_asset_check_execution_history(check, limit=1, partition_filter=asked):
        if record.evaluation and "reason" in record.evaluation.metadata:
            return str(record.evaluation.metadata["reason"].value)
    return UNTOLD


def _result(report: Report) -> dg.MaterializeResult:
    picture = base64.b64encode(report.picture).decode()
    shown = {"picture": dg.MetadataValue.md(f"![the first slides](data:image/jpeg;base64,{picture})")}
    return dg.MaterializeResult(
        metadata={
            **{name: dg.MetadataValue.int(count) for name, count in report.numbers.items()},
            **(shown if picture else {}),
            "path": dg.MetadataValue.path(report.path),
            "page": dg.MetadataValue.url(report.path.absolute().as_uri()),
        }
    )
